#include "evals/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evals/task_texts.h"
#include "tests/scratch_directory.h"

namespace deciban {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const json kRow = {{"question", " Why? "},
                   {"n", 3},
                   {"choices", {{"text", {"x", "y"}}, {"label", {"A", "B"}}}},
                   {"answers", {{{"t", "one"}}, {{"t", "two"}}}},
                   {"key", "B"}};

TEST(Template, JoinsTextsFieldsAndFilters) {
  EXPECT_EQ(Template("Q: {question|strip}\n{{{n}}}").text(kRow), "Q: Why?\n{3}");
  EXPECT_EQ(Template("{choices.text.1}{choices.text|join('-')}").text(kRow), "yx-y");
  EXPECT_EQ(Template("{answers[].t}").value(kRow), (json{"one", "two"}));
  EXPECT_EQ(Template("{choices.label|index(key)}").value(kRow), 1);
  EXPECT_EQ(Template("{choices.label | index( key|strip )}").value(kRow), 1);
  EXPECT_EQ(Template("{'a\\'b\\n'|replace('b', question|strip)}").text(kRow), "a'Why?\n");
  EXPECT_EQ(Template("{n|minus(1)}{n|map(2, 'two', 3, 'three')}{'7'|int}").text(kRow), "2three7");
  EXPECT_EQ(Template("").text(kRow), "");
}

TEST(Template, FiltersListsAndTexts) {
  const json row = {{"text", "a_b c"}, {"list", {"b", "a", "b"}}, {"query", "<X> and <X>"}};
  EXPECT_EQ(Template("{list|sorted_set}").value(row), (json{"a", "b"}));
  EXPECT_EQ(Template("{list|fill(query, '<X>')|wrap('- ', '.')|first}").text(row), "- b and b.");
  EXPECT_EQ(Template("{text|before('_')}|{text|after('_')}").text(row), "a|b c");
  EXPECT_EQ(Template("{list|rest|join('')}{list|but_last|last}").text(row), "aba");
  EXPECT_EQ(Template("{text|split|join('+')}").text(row), "a_b+c");
  EXPECT_EQ(Template("{text|capitalize}{text|lower_first|without_last}").text(row), "A_b ca_b ");
}

TEST(Template, SaysWhatIsWrongWithItself) {
  const auto error = [](const char* source) { return message_of([&] { Template part(source); }); };
  EXPECT_THAT(error("{a|nothing}"), HasSubstr("there is no filter 'nothing'; there are strip"));
  EXPECT_THAT(error("{a"), HasSubstr("'}' is expected"));
  EXPECT_THAT(error("a}"), HasSubstr("without its '{'"));
  EXPECT_THAT(error("{}"), HasSubstr("a field's name is expected"));
  EXPECT_THAT(error("{'a}"), HasSubstr("the string does not end"));
  EXPECT_THAT(error("{a|replace('x')}"), HasSubstr("does not take 1 arguments"));
  EXPECT_THAT(error("{a[0]}"), HasSubstr("']' is expected"));
  EXPECT_THAT(error("{a|strip(}"), HasSubstr("is expected"));
}

TEST(Template, SaysWhatIsWrongWithARow) {
  const auto error = [](const char* source) { return message_of([&] { Template(source).text(kRow); }); };
  EXPECT_THAT(error("{nothing}"), HasSubstr("the field nothing is missing; it has answers, choices"));
  EXPECT_THAT(error("{choices.text.7}"), HasSubstr("choices.text.7 is missing: there are 2 items"));
  EXPECT_THAT(error("{choices}"), HasSubstr("of type object is no text"));
  EXPECT_THAT(error("{question|after('#')}"), HasSubstr("there is no '#' in the text"));
  EXPECT_THAT(error("{question|int}"), HasSubstr("is no integer"));
  EXPECT_THAT(error("{question|first}"), HasSubstr("not a list"));
  EXPECT_THAT(error("{key|map('A', 1)}"), HasSubstr("none of the values known"));
  EXPECT_THAT(error("{n[].x}"), HasSubstr("is no list"));
}

TEST(TaskTexts, HellaswagTakesBracketsOutWithinALineAndSpacesOnce) {
  EXPECT_EQ(hellaswag_text(" a [title] b [x] c"), "a. b c");
  EXPECT_EQ(hellaswag_text("[a [b] c]"), " c]");
  EXPECT_EQ(hellaswag_text("a [b\n] c"), "a [b\n] c");
  EXPECT_EQ(hellaswag_text("a    b"), "a  b");
  EXPECT_EQ(hellaswag_text("[all]"), "");
}

TEST(TaskTexts, WikitextPutsDigitsPatternsAsTheOriginal) {
  EXPECT_EQ(wikitext_text("/' 5/"), "/'[0-9]/");
  EXPECT_EQ(wikitext_text("( a \n )"), "(a)");
  EXPECT_EQ(wikitext_text("( no end"), "( no end");
  EXPECT_EQ(wikitext_text("10 ° C"), "10°C");
}

}  // namespace
}  // namespace deciban
