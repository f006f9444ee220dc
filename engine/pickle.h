// A pickle as a graph of plain values.  Nothing is executed: the few opcodes that plain data needs are
// interpreted, names of Python objects are looked up in a list given by the caller, and calls are recorded,
// not made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mapped_file.h"

namespace deciban {

using PickleIndex = std::uint32_t;  // of a value in its Pickle

struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,
    integer,
    real,
    text,
    tuple,
    list,
    dict,
    global,
    call,
    persistent
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;        // boolean, integer
  double real = 0;                 // real; integers beyond 64 bits
  std::string_view text;           // text: bytes of the pickle; global: "module name", from the caller's list
  std::vector<PickleIndex> items;  // tuple, list: the values; dict: key, value, key, value, …;
                                   // call: callable and arguments; persistent: the id
};

class Pickle {
 public:
  // Interprets bytes [begin, end) of the file.  `globals` lists the names that may occur, as "module name"; a
  // call of "collections OrderedDict" without arguments becomes a dict.  Throws std::runtime_error for
  // anything else: foreign names (by name), opcodes that plain data does not need, and pickles beyond the
  // limits on size and memory.
  static Pickle read(const FileBytes& file, std::size_t begin, std::size_t end,
                     const std::vector<std::string_view>& globals);

  const PickleValue& operator[](PickleIndex index) const { return values_[index]; }
  PickleIndex root() const { return root_; }

 private:
  friend class PickleMachine;
  std::deque<PickleValue> values_;
  PickleIndex root_ = 0;
};

}  // namespace deciban
