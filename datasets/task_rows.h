// Rows of task data sets from local files: as the Hugging Face hub has them, or in the shapes in which their
// authors gave them out.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/corpus.h"

namespace deciban {

// Reads one split.  Every file may be JSON Lines of rows (or of the datasets server's {"row_idx", "row"}), a
// JSON list of rows, or one saved page of /rows; `choices` may be a list of {"text", "label"} objects. `form`
// names further shapes, and none if it is empty:
//   boolq      SuperGLUE's labels true and false; Google's `answer`
//   headqa     the exams' JSON file
//   hellaswag  labels as numbers
//   lambada    a text a line
//   piqa       rows without labels, which are a number a line in NAME-labels.lst beside NAME.jsonl
//   record     SuperGLUE's passages with entities as offsets and several questions each
//   wikitext   wiki.test.raw: pages are made of its lines
//
// A document's `fields` are the row, its `text` the row as JSON in its own order of keys, its id the row's
// number from 0.  A bad row is a document with an error.  Throws std::runtime_error naming the file and what
// is wrong, std::invalid_argument for an unknown form.
Corpus read_task_rows(const std::filesystem::path& path, std::string_view form = {});

// The file of a split in a folder: SPLIT.jsonl, SPLIT.json, or the name under which the form's authors gave
// it out; empty if there is none.
std::filesystem::path find_task_rows(const std::filesystem::path& folder, std::string_view split,
                                     std::string_view form);

}  // namespace deciban
