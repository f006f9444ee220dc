#include "engine/byte_trie.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <stdexcept>

namespace deciban {

namespace {
constexpr std::int32_t kBlock = 256;
constexpr std::int32_t kRootParent = -2;
// Free slots tried for one node before a fresh block is taken: bounds the time of building, costs some
// memory.
constexpr int kMaximumTries = 1024;
}  // namespace

ByteTrie::ByteTrie(std::vector<std::pair<std::string, std::int32_t>> entries) {
  if (entries.empty()) return;
  std::sort(entries.begin(), entries.end());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].first.empty()) {
      throw std::invalid_argument(fmt::format("the entry with id {} is empty", entries[i].second));
    }
    if (i && entries[i].first == entries[i - 1].first) {
      throw std::invalid_argument(
          fmt::format("ids {} and {} have the same bytes", entries[i - 1].second, entries[i].second));
    }
  }

  // Free slots as a doubly linked ring through its head, the extra last element.
  std::vector<std::int32_t> next{0}, previous{0};
  const auto head = [&] { return static_cast<std::int32_t>(slots_.size()); };
  const auto add_block = [&] {
    const std::int32_t first = head(), new_head = first + kBlock;
    if (new_head > (1 << 30)) throw std::invalid_argument("too many entries");
    slots_.resize(new_head);
    const std::int32_t oldest = next[first], newest = previous[first];
    next.resize(new_head + 1);
    previous.resize(new_head + 1);
    // The ring reads: new_head -> old free slots -> new slots -> new_head.
    const bool had_free = oldest != first;
    for (std::int32_t i = first; i < new_head; ++i) next[i] = i + 1, previous[i] = i - 1;
    previous[first] = had_free ? newest : new_head;
    if (had_free) next[newest] = first, previous[oldest] = new_head;
    next[new_head] = had_free ? oldest : first;
    previous[new_head] = new_head - 1;
  };
  const auto take = [&](std::int32_t slot, std::int32_t parent) {
    slots_[slot].parent = parent;
    next[previous[slot]] = next[slot];
    previous[next[slot]] = previous[slot];
  };

  add_block();
  take(0, kRootParent);
  struct Node {
    std::int32_t slot;
    std::size_t begin, end, depth;  // entries [begin, end) share their first `depth` bytes
  };
  std::deque<Node> nodes{{0, 0, entries.size(), 0}};
  std::vector<std::pair<unsigned char, std::size_t>> children;  // label, first entry
  for (; !nodes.empty(); nodes.pop_front()) {
    Node node = nodes.front();
    if (entries[node.begin].first.size() == node.depth) {
      slots_[node.slot].value = entries[node.begin].second;
      ++node.begin;
    }
    if (node.begin == node.end) continue;
    children.clear();
    for (std::size_t i = node.begin; i < node.end; ++i) {
      const auto label = static_cast<unsigned char>(entries[i].first[node.depth]);
      if (children.empty() || children.back().first != label) children.emplace_back(label, i);
    }
    std::int32_t base = -1;
    int tries = 0;
    for (std::int32_t slot = next[head()]; slot != head() && tries < kMaximumTries;
         slot = next[slot], ++tries) {
      const std::int32_t candidate = slot ^ children[0].first;
      if (std::all_of(children.begin(), children.end(),
                      [&](const auto& child) { return slots_[candidate ^ child.first].parent == -1; })) {
        base = candidate;
        break;
      }
    }
    if (base < 0) {
      base = head();
      add_block();
    }
    slots_[node.slot].base = base;
    for (std::size_t c = 0; c < children.size(); ++c) {
      const std::int32_t slot = base ^ children[c].first;
      take(slot, node.slot);
      nodes.push_back({slot, children[c].second, c + 1 < children.size() ? children[c + 1].second : node.end,
                       node.depth + 1});
    }
  }
}

}  // namespace deciban
