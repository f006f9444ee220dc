#include "engine/packer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <iterator>
#include <list>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace deciban {
namespace {

constexpr std::size_t kWindow = 96;  // least of a worker's window where rows are spread
constexpr std::size_t kLogitTile = 32;  // rows of logits handed out together
// Where rows are spread: the least piece of a sequence that does not end with it (and the least chunk that is
// tried where memory is short), and what pieces are whole multiples of.
constexpr std::size_t kLeastPiece = 64, kPieceGrain = 16;

// A sequence in work.  It has read tokens [0, read).  A waiting item starts from a copy of its parent's
// state, taken when the parent has read `fork` tokens, which the two have in common.
struct Item {
  std::size_t index = 0;
  Sequence sequence;
  std::size_t read = 0;
  std::size_t slot = SIZE_MAX;  // SIZE_MAX: none yet
  Item* parent = nullptr;
  std::size_t fork = 0;
  std::vector<Item*> children;  // waiting for this one
  std::vector<TokenScore> scores;

  // The last token needs no reading: nothing is scored after it.
  std::size_t to_read() const { return sequence.tokens.size() - 1; }
  // Where it must stop next: at its first fork, else at its end.
  std::size_t limit() const {
    std::size_t limit = to_read();
    for (const Item* child : children) limit = std::min(limit, child->fork);
    return limit;
  }
};

// What workers share: the source and the sink, each used by one thread at a time.
class Exchange {
 public:
  Exchange(SequenceSource& source, ScoreSink& sink, const PackOptions& options)
      : source_(source),
        sink_(sink),
        vocabulary_(options.vocabulary),
        most_tokens_(options.most_tokens),
        wants_rows_(sink.wants_rows()) {}

  // To be held while a worker takes sequences, so that a family (sequences that share a prefix with the one
  // before) is not torn between workers that would each read its beginning.
  std::unique_lock<std::mutex> turn() { return std::unique_lock(turn_mutex_); }

  // Gives the next sequence that has something to compute; refuses bad ones and answers empty ones on the
  // way. False at the end or when stopped.
  bool pull(const void* worker, std::size_t& index, Sequence& sequence) {
    const std::lock_guard lock(source_mutex_);
    last_ = worker;
    while (!stopped_ && peek()) {
      index = next_index_++;
      sequence = pending_;
      have_pending_ = false;
      const std::string problem = problem_of(sequence);
      if (!problem.empty()) {
        fail(index, problem);
      } else if (sequence.tokens.size() <= sequence.first) {
        deliver(index, {});
      } else {
        return true;
      }
    }
    return false;
  }

  // Whether the next sequence continues the family of what this worker took last.
  bool continues_family_of(const void* worker) {
    const std::lock_guard lock(source_mutex_);
    return !stopped_ && last_ == worker && peek() && pending_.shared > 1;
  }

  void deliver(std::size_t index, std::span<const TokenScore> scores) {
    for (const TokenScore& score : scores) {
      if (!std::isfinite(score.logprob) || !std::isfinite(score.best_logprob)) {
        fail(index,
             fmt::format(
                 "the model's log-probability of scored token {} is not a finite number: its activations "
                 "overflow in this format",
                 &score - scores.data()));
        return;
      }
    }
    const std::lock_guard lock(sink_mutex_);
    sink_.scored(index, scores);
  }
  void fail(std::size_t index, const std::string& reason) {
    const std::lock_guard lock(sink_mutex_);
    sink_.failed(index, reason);
  }
  bool wants_rows() const { return wants_rows_; }
  void rows(std::size_t index, std::size_t position, const LogitRows& logits) {
    const std::lock_guard lock(sink_mutex_);
    sink_.rows(index, position, logits);
  }

  void stop(std::exception_ptr why) {
    const std::lock_guard lock(source_mutex_);
    if (!failure_) failure_ = why;
    stopped_ = true;
  }
  bool stopped() const { return stopped_; }
  std::exception_ptr failure() const { return failure_; }

 private:
  bool peek() {
    if (!have_pending_ && !ended_) {
      pending_ = {};
      have_pending_ = source_.next(pending_);
      ended_ = !have_pending_;
    }
    return have_pending_;
  }
  std::string problem_of(const Sequence& s) const {
    if (s.first == 0) return "a sequence asks for a score of its first token, which has no context";
    if (s.tokens.size() > most_tokens_) {
      return fmt::format("a sequence of {} tokens is longer than the {} that the model has positions for",
                         s.tokens.size(), most_tokens_);
    }
    for (std::size_t i = 0; i < s.tokens.size(); ++i) {
      if (s.tokens[i] < 0 || static_cast<std::size_t>(s.tokens[i]) >= vocabulary_) {
        return fmt::format("token {} at position {} lies outside the model's vocabulary of {}", s.tokens[i],
                           i, vocabulary_);
      }
    }
    return {};
  }

  SequenceSource& source_;
  ScoreSink& sink_;
  const std::size_t vocabulary_, most_tokens_;
  const bool wants_rows_;
  std::mutex turn_mutex_, source_mutex_, sink_mutex_;
  const void* last_ = nullptr;  // the worker that took a sequence last
  Sequence pending_;
  bool have_pending_ = false, ended_ = false;
  std::size_t next_index_ = 0;
  std::atomic<bool> stopped_{false};
  std::exception_ptr failure_;
};

class Worker {
 public:
  Worker(Exchange& exchange, ChunkRunner& runner, const PackOptions& options)
      : exchange_(exchange),
        runner_(runner),
        chunk_rows_(options.chunk_rows),
        spread_(options.spread),
        in_work_(std::min(options.most_sequences, runner.slots())),
        window_(spread_ ? std::max(kWindow, 2 * in_work_) : options.window) {
    for (std::size_t slot = runner.slots(); slot-- > 0;) free_slots_.push_back(slot);
  }

  void run() {
    while (!exchange_.stopped()) {
      pull();
      start_forks();
      plan();
      if (tokens_.empty()) {
        if (items_.empty()) return;
        drop_one_fork();  // every slot is held by a sequence that waits for a slot to fork into
        continue;
      }
      scores_.resize(rows_.size());
      try {
        runner_.run(tokens_, layout_, rows_, targets_, scores_);
      } catch (const ChunkFailed& failure) {
        abandon(failure.what());
        continue;
      } catch (const OutOfDeviceMemory& failure) {
        if (tokens_.size() <= kLeastPiece) {
          abandon(failure.what());
        } else {
          chunk_rows_ = std::max(kLeastPiece, (tokens_.size() + 1) / 2);
        }
        continue;
      }
      collect();
    }
  }

 private:
  // Takes sequences until a chunk can be filled, or until every slot has one; families are taken whole, so
  // that their forks are known in time.
  void pull() {
    std::size_t planned = 0;
    for (const Item& item : items_) planned += item.to_read() - item.read;
    const auto room = [&] { return spread_ ? items_.size() < in_work_ : planned < chunk_rows_; };
    const auto wants = [&] {
      return items_.size() < window_ && (room() || exchange_.continues_family_of(this));
    };
    if (!wants()) return;
    const auto turn = exchange_.turn();
    while (wants()) {
      Item item;
      if (!exchange_.pull(this, item.index, item.sequence)) return;
      item.scores.reserve(item.sequence.tokens.size() - item.sequence.first);
      planned += item.to_read();
      items_.push_back(std::move(item));
      join_family(items_.back());
    }
  }

  // Makes `item`, the last one, wait for a fork if the one before it here has not read past what they share.
  void join_family(Item& item) {
    if (item.sequence.shared < 2 || items_.size() < 2) return;
    Item* parent = &*std::prev(items_.end(), 2);
    const std::span<const Token> tokens = item.sequence.tokens, other = parent->sequence.tokens;
    std::size_t shared = std::min(item.sequence.shared, tokens.size());
    if (parent->index + 1 != item.index) {
      // The sequence before is done, or another worker's: a family often has more in common than two of it.
      shared = static_cast<std::size_t>(
          std::mismatch(tokens.begin(), tokens.end(), other.begin(), other.end()).first - tokens.begin());
    }
    // The last shared token is read again: its output row is what scores the first token that is not shared.
    const std::size_t fork = std::min(shared, item.sequence.first);
    if (fork < 2) return;
    item.fork = std::min(fork - 1, parent->to_read());
    while (parent->parent != nullptr && parent->fork >= item.fork) parent = parent->parent;
    if (parent->read > item.fork) return;
    item.parent = parent;
    parent->children.push_back(&item);
  }

  // Copies states to children whose fork is reached, as far as there are slots.
  void start_forks() {
    for (Item& item : items_) {
      if (item.slot == SIZE_MAX) continue;
      for (std::size_t i = 0; i < item.children.size() && !free_slots_.empty();) {
        Item& child = *item.children[i];
        if (child.fork != item.read) {
          ++i;
          continue;
        }
        child.slot = take_slot();
        child.read = child.fork;
        child.parent = nullptr;
        runner_.copy(item.slot, child.slot);
        item.children.erase(item.children.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    retire();
  }

  // Lays out the next chunk.
  void plan() {
    tokens_.clear();
    layout_.clear();
    rows_.clear();
    targets_.clear();
    planned_.clear();
    if (spread_) {
      plan_spread();
    } else {
      plan_in_order();
    }
  }

  void plan_in_order() {
    for (Item& item : items_) {
      if (tokens_.size() == chunk_rows_) break;
      if (item.parent != nullptr) continue;
      const std::size_t count = std::min(item.limit() - item.read, chunk_rows_ - tokens_.size());
      if (count > 0 && may_start(item)) lay_out(item, count);
    }
  }

  // The longest first, so that all end together: each gets its share of the rows that are left.
  void plan_spread() {
    candidates_.clear();
    double to_read = 0;
    for (Item& item : items_) {
      if (item.parent != nullptr || item.limit() == item.read || !may_start(item)) continue;
      candidates_.push_back(&item);
      to_read += static_cast<double>(item.to_read() - item.read);
    }
    std::stable_sort(candidates_.begin(), candidates_.end(), [](const Item* a, const Item* b) {
      return a->to_read() - a->read > b->to_read() - b->read;
    });
    std::size_t rows = chunk_rows_;
    for (Item* item : candidates_) {
      if (rows == 0) break;
      const double own = static_cast<double>(item->to_read() - item->read);
      const auto share = static_cast<std::size_t>(std::ceil(static_cast<double>(rows) * own / to_read));
      const std::size_t wanted = std::max(kLeastPiece, (share + kPieceGrain - 1) / kPieceGrain * kPieceGrain);
      const std::size_t count = std::min({wanted, item->limit() - item->read, rows});
      to_read -= own;
      // What would be cut short by the chunk's end alone waits for the next one.
      if (count < kLeastPiece && count < item->limit() - item->read && !tokens_.empty()) continue;
      lay_out(*item, count);
      rows -= count;
    }
  }

  // Whether the item has a slot; gives it one if there is one.
  bool may_start(Item& item) {
    if (item.slot != SIZE_MAX) return true;
    if (free_slots_.empty()) return false;
    item.slot = take_slot();
    runner_.reset(item.slot);
    return true;
  }

  // Appends the item's next `count` tokens to the chunk.
  void lay_out(Item& item, std::size_t count) {
    layout_.push_back({tokens_.size(), count, item.slot});
    planned_.push_back(&item);
    for (std::size_t i = item.read; i < item.read + count; ++i) {
      if (i + 1 >= item.sequence.first) {
        rows_.push_back(tokens_.size());
        targets_.push_back(item.sequence.tokens[i + 1]);
      }
      tokens_.push_back(item.sequence.tokens[i]);
    }
  }

  // The chunk failed and its states are worth nothing: its sequences fail.  Those that waited for a fork of
  // one of them read their prefix themselves.
  void abandon(const std::string& reason) {
    for (Item* item : planned_) {
      for (Item* child : item->children) child->parent = nullptr;
      exchange_.fail(item->index, reason);
      free_slots_.push_back(item->slot);
      items_.remove_if([item](const Item& other) { return &other == item; });
    }
    planned_.clear();
  }

  // Hands the chunk's results to their sequences and moves them on.
  void collect() {
    std::size_t next = 0;
    for (std::size_t p = 0; p < planned_.size(); ++p) {
      Item& item = *planned_[p];
      const std::size_t first = next, end = layout_[p].row + layout_[p].count;
      while (next < rows_.size() && rows_[next] < end) item.scores.push_back(scores_[next++]);
      if (exchange_.wants_rows()) {
        std::size_t position = item.sequence.first + item.scores.size() - (next - first);
        for (std::size_t i = first; i < next; i += kLogitTile) {
          const std::size_t count = std::min(kLogitTile, next - i);
          exchange_.rows(item.index, position, runner_.logits(i, count));
          position += count;
        }
      }
      item.read += layout_[p].count;
    }
    retire();
  }

  // Delivers finished sequences that nobody waits for.
  void retire() {
    for (auto item = items_.begin(); item != items_.end();) {
      if (item->slot == SIZE_MAX || item->read < item->to_read() || !item->children.empty()) {
        ++item;
        continue;
      }
      exchange_.deliver(item->index, item->scores);
      free_slots_.push_back(item->slot);
      item = items_.erase(item);
    }
  }

  // Gives up one pending fork: that sequence reads its prefix itself.
  void drop_one_fork() {
    for (Item& item : items_) {
      if (item.children.empty()) continue;
      item.children.back()->parent = nullptr;
      item.children.pop_back();
      retire();
      return;
    }
    throw std::logic_error("packer: nothing can run");
  }

  std::size_t take_slot() {
    const std::size_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }

  Exchange& exchange_;
  ChunkRunner& runner_;
  std::size_t chunk_rows_;
  const bool spread_;
  const std::size_t in_work_;  // most sequences that rows are spread over
  const std::size_t window_;   // most sequences held at once
  std::list<Item> items_;      // in the source's order
  std::vector<std::size_t> free_slots_;
  // The chunk in work.
  std::vector<Token> tokens_, targets_;
  std::vector<Piece> layout_;
  std::vector<std::size_t> rows_;
  std::vector<TokenScore> scores_;
  std::vector<Item*> planned_, candidates_;
};

}  // namespace

ChunkFailed::~ChunkFailed() = default;

void score_packed(SequenceSource& next, ScoreSink& done, const PackOptions& options,
                  const std::function<std::unique_ptr<ChunkRunner>(std::size_t worker)>& open) {
  Exchange exchange(next, done, options);
  const auto work = [&](std::size_t worker) {
    try {
      const std::unique_ptr<ChunkRunner> runner = open(worker);
      Worker(exchange, *runner, options).run();
    } catch (...) {
      exchange.stop(std::current_exception());
    }
  };
  std::vector<std::jthread> threads;
  for (std::size_t worker = 1; worker < options.workers; ++worker) threads.emplace_back(work, worker);
  work(0);
  threads.clear();  // joins
  if (exchange.failure()) std::rethrow_exception(exchange.failure());
}

}  // namespace deciban
