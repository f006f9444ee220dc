#include "engine/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <unordered_map>

namespace deciban {
namespace {

using Kind = PickleValue::Kind;

// Far above any model (20 values a tensor), low enough that a hostile file cannot take the machine's memory.
constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxValues = std::size_t{4} << 20;

enum Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kEmptyDict = '}',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95
};

}  // namespace

class PickleMachine {
 public:
  PickleMachine(const FileBytes& file, std::size_t begin, std::size_t end,
                const std::vector<std::string_view>& globals)
      : file_(file), cursor_(file, begin, end), globals_(globals) {}

  Pickle run() {
    if (cursor_.left() > kMaxBytes) {
      file_.fail(fmt::format("pickle of {} bytes: more than {} are not read", cursor_.left(), kMaxBytes));
    }
    while (step()) {
    }
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void fail(std::string_view reason) const {
    file_.fail(fmt::format("pickle, before byte {}: {}", cursor_.position(), reason));
  }

  PickleValue& value(PickleIndex index) { return pickle_.values_[index]; }

  void push(PickleIndex index) {
    if (stack_.size() >= kMaxValues) fail("the stack grows beyond any model");
    stack_.push_back(index);
  }
  PickleValue& make(Kind kind) {
    if (pickle_.values_.size() >= kMaxValues) fail(fmt::format("more than {} values", kMaxValues));
    push(static_cast<PickleIndex>(pickle_.values_.size()));
    auto& made = pickle_.values_.emplace_back();
    made.kind = kind;
    return made;
  }
  void make_integer(std::int64_t integer) { make(Kind::integer).integer = integer; }
  void make_text(std::size_t size) {
    const auto text = cursor_.text(size, "pickled text");
    make(Kind::text).text = text;
  }

  // The stack above the last mark belongs to that mark: no opcode may take from below it.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleIndex top() const {
    if (stack_.size() <= floor()) fail("the stack is empty");
    return stack_.back();
  }
  PickleIndex pop() {
    const PickleIndex index = top();
    stack_.pop_back();
    return index;
  }
  std::vector<PickleIndex> pop_to_mark() {
    if (marks_.empty()) fail("no mark on the stack");
    std::vector<PickleIndex> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  void make_tuple(std::vector<PickleIndex> items) { make(Kind::tuple).items = std::move(items); }
  void make_tuple_of(std::size_t count) {
    std::vector<PickleIndex> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    make_tuple(std::move(items));
  }

  void extend(Kind kind, const std::vector<PickleIndex>& items) {
    PickleValue& target = value(top());
    if (target.kind != kind)
      fail(kind == Kind::dict ? "items are set on what is no dict" : "items are added to no list");
    if (kind == Kind::dict && items.size() % 2 != 0) fail("a key without a value");
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  void memoize(std::uint64_t slot) {
    if (memo_.size() >= kMaxValues) fail("the memo grows beyond any model");
    memo_[slot] = top();
  }
  void recall(std::uint64_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) fail(fmt::format("memo {} was never stored", slot));
    push(found->second);
  }

  void make_global(std::string_view module, std::string_view name) {
    for (const std::string_view allowed : globals_) {
      if (allowed.size() == module.size() + 1 + name.size() && allowed.starts_with(module) &&
          allowed[module.size()] == ' ' && allowed.ends_with(name)) {
        make(Kind::global).text = allowed;
        return;
      }
    }
    fail(fmt::format(
        "names the Python object {}, which is not part of plain tensors and is never run; save the weights "
        "alone: torch.save(model.state_dict(), path)",
        in_quotes(fmt::format("{}.{}", module, name))));
  }
  void stack_global() {
    const PickleIndex name = pop(), module = pop();
    if (value(name).kind != Kind::text || value(module).kind != Kind::text)
      fail("a global's name is not text");
    make_global(value(module).text, value(name).text);
  }

  void reduce() {
    const PickleIndex arguments = pop(), callable = pop();
    if (value(callable).kind != Kind::global) fail("calls what is no global");
    if (value(arguments).kind != Kind::tuple) fail("calls with arguments that are no tuple");
    if (value(callable).text == "collections OrderedDict" && value(arguments).items.empty()) {
      make(Kind::dict);
      return;
    }
    make(Kind::call).items = {callable, arguments};
  }
  void build() {
    // Attributes, such as the _metadata of a state dict: not weights.
    pop();
    const Kind target = value(top()).kind;
    if (target != Kind::dict && target != Kind::call) fail("sets attributes of plain data");
  }

  void make_long() {
    const auto size = cursor_.get<std::uint8_t>("pickled integer");
    const auto bytes = cursor_.take(size, "pickled integer");
    if (size > 8) {  // counts nothing in a file: of no interest
      make(Kind::real).real = std::numeric_limits<double>::quiet_NaN();
      return;
    }
    std::uint64_t bits =
        size > 0 && (bytes[size - 1] & std::byte{0x80}) != std::byte{0} ? ~std::uint64_t{0} : 0;
    std::memcpy(&bits, bytes.data(), size);  // little-endian, sign-extended by what was there before
    make_integer(std::bit_cast<std::int64_t>(bits));
  }

  // False when the pickle has ended.
  bool step() {
    const auto opcode = cursor_.get<std::uint8_t>("opcode");
    switch (opcode) {
      case kProto:
        if (const auto protocol = cursor_.get<std::uint8_t>("protocol"); protocol < 2 || protocol > 5) {
          fail(fmt::format("protocol {} is not supported", protocol));
        }
        break;
      case kFrame:
        if (cursor_.get<std::uint64_t>("frame") > cursor_.left()) fail("a frame reaches beyond the end");
        break;
      case kStop:
        if (!marks_.empty() || stack_.size() != 1) fail("ends with other than one value");
        pickle_.root_ = pop();
        return false;
      case kMark:
        if (marks_.size() >= kMaxValues) fail("the stack grows beyond any model");
        marks_.push_back(stack_.size());
        break;
      case kPop:
        pop();
        break;
      case kPopMark:
        pop_to_mark();
        break;
      case kNone:
        make(Kind::none);
        break;
      case kNewTrue:
      case kNewFalse:
        make(Kind::boolean).integer = opcode == kNewTrue;
        break;
      case kBinInt:
        make_integer(cursor_.get<std::int32_t>("pickled integer"));
        break;
      case kBinInt1:
        make_integer(cursor_.get<std::uint8_t>("pickled integer"));
        break;
      case kBinInt2:
        make_integer(cursor_.get<std::uint16_t>("pickled integer"));
        break;
      case kLong1:
        make_long();
        break;
      case kBinFloat:  // big-endian, unlike everything else
        make(Kind::real).real =
            std::bit_cast<double>(__builtin_bswap64(cursor_.get<std::uint64_t>("pickled float")));
        break;
      case kBinUnicode:
      case kBinString:
      case kBinBytes:
        make_text(cursor_.get<std::uint32_t>("length of text"));
        break;
      case kShortBinUnicode:
      case kShortBinString:
      case kShortBinBytes:
        make_text(cursor_.get<std::uint8_t>("length of text"));
        break;
      case kBinUnicode8:
        make_text(cursor_.get<std::uint64_t>("length of text"));
        break;
      case kEmptyTuple:
        make(Kind::tuple);
        break;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        make_tuple_of(opcode - kTuple1 + 1u);
        break;
      case kTuple:
        make_tuple(pop_to_mark());
        break;
      case kEmptyList:
        make(Kind::list);
        break;
      case kAppend:
        extend(Kind::list, {pop()});
        break;
      case kAppends:
        extend(Kind::list, pop_to_mark());
        break;
      case kEmptyDict:
        make(Kind::dict);
        break;
      case kSetItem: {
        const PickleIndex item = pop(), key = pop();
        extend(Kind::dict, {key, item});
        break;
      }
      case kSetItems:
        extend(Kind::dict, pop_to_mark());
        break;
      case kBinPut:
        memoize(cursor_.get<std::uint8_t>("memo"));
        break;
      case kLongBinPut:
        memoize(cursor_.get<std::uint32_t>("memo"));
        break;
      case kMemoize:
        memoize(memo_.size());
        break;
      case kBinGet:
        recall(cursor_.get<std::uint8_t>("memo"));
        break;
      case kLongBinGet:
        recall(cursor_.get<std::uint32_t>("memo"));
        break;
      case kGlobal: {
        const auto module = cursor_.line("module of a global");
        make_global(module, cursor_.line("name of a global"));
        break;
      }
      case kStackGlobal:
        stack_global();
        break;
      case kReduce:
        reduce();
        break;
      case kBuild:
        build();
        break;
      case kBinPersId: {
        const PickleIndex id = pop();
        make(Kind::persistent).items = {id};
        break;
      }
      default:
        fail(fmt::format("opcode 0x{:02x} is not part of plain tensors and is never run", opcode));
    }
    return true;
  }

  const FileBytes& file_;
  ByteCursor cursor_;
  const std::vector<std::string_view>& globals_;
  Pickle pickle_;
  std::vector<PickleIndex> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint64_t, PickleIndex> memo_;
};

Pickle Pickle::read(const FileBytes& file, std::size_t begin, std::size_t end,
                    const std::vector<std::string_view>& globals) {
  return PickleMachine(file, begin, end, globals).run();
}

}  // namespace deciban
