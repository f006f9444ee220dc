#include "evals/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "evals/document_run.h"

namespace deciban {
namespace {

using Clock = std::chrono::steady_clock;

// What two documents must have in common before a model is told: so many tokens, and such a part of the
// second. Less is not worth keeping a state for, and what belongs together stays with one worker.
constexpr std::size_t kShortestAcross = 16, kSmallestPartAcross = 8;

struct Place {
  const Corpus* corpus = nullptr;
  std::size_t document = 0;
  const Document& source() const { return corpus->documents[document]; }
};

// A document that is to be scored by a task, and others with the same text that get its result as well.
struct Item {
  Task* task = nullptr;
  Place place;
  std::string key;
  std::vector<Place> twins;
};

// Splits the time that passes among the sequences in flight, in proportion to their tokens, so that the
// documents' seconds add up to the run's whatever the model computes together.
class TimeShare {
 public:
  // Seconds since the last call, if nothing was in flight meanwhile; else they went to those in flight.
  double advance() {
    const Clock::time_point now = Clock::now();
    const double passed = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    if (tokens_ == 0) return passed;
    each_ += passed / static_cast<double>(tokens_);
    return 0;
  }
  // Call after advance().  Returns the mark to give to leave().
  double enter(std::size_t tokens) {
    tokens_ += tokens;
    return each_;
  }
  double leave(std::size_t tokens, double mark) {
    tokens_ -= tokens;
    return (each_ - mark) * static_cast<double>(tokens);
  }

 private:
  Clock::time_point last_ = Clock::now();
  std::size_t tokens_ = 0;
  double each_ = 0;  // seconds given to each token in flight since the start
};

std::string model_name(const ModelInfo& info, const RunOptions& options) {
  return options.label.empty() ? info.name : options.label;
}

// The result of a document for another one with the same text, which costs no time.
Record copied_record(Record record, const Place& twin) {
  set_document(record, *twin.corpus, twin.source());
  record.seconds = 0;
  return record;
}

// Feeds a model with the sequences of the items and turns its deliveries into records.  The model may pull
// and deliver from different threads: one lock guards everything.  Errors of writing must not travel through
// the model's threads; they are kept, end the run, and are thrown by finish().
class Feed : public SequenceSource, public ScoreSink {
 public:
  Feed(LanguageModel& model, const RunOptions& options, std::vector<Item> items, RunDirectory& directory,
       RunObserver* observer, RunSummary& summary)
      : model_(model),
        options_(options),
        items_(std::move(items)),
        directory_(directory),
        observer_(observer),
        summary_(summary),
        token_bytes_(model) {}

  bool next(Sequence& out) override {
    const std::scoped_lock lock(mutex_);
    if (stopping()) return false;
    try {
      return next_sequence(out);
    } catch (...) {
      error_ = std::current_exception();
      return false;
    }
  }

  void scored(std::size_t index, std::span<const TokenScore> scores) override {
    deliver(index, [&](DocumentRun& document, std::size_t sequence) {
      document.accept(sequence, scores);
      summary_.progress.tokens_done += scores.size();
    });
  }

  void failed(std::size_t index, const std::string& reason) override {
    deliver(index, [&](DocumentRun&, std::size_t) { throw std::runtime_error(reason); });
  }

  // An error of ours that ended the run, before any that the model made of it.
  void rethrow_error() {
    const std::scoped_lock lock(mutex_);
    if (error_) std::rethrow_exception(error_);
  }

  // After the model is done: what it left undelivered.
  void finish() {
    rethrow_error();
    const std::scoped_lock lock(mutex_);
    const bool stopped = options_.stop && options_.stop->load();
    if (stopped) {
      const bool in_flight = std::any_of(flights_.begin(), flights_.end(),
                                         [](const auto& place) { return !place.second.flight->over; });
      summary_.interrupted = next_item_ < items_.size() || in_flight || (current_ && !current_->over);
      return;
    }
    std::map<const DocumentRun*, std::shared_ptr<Flight>> left;
    for (const auto& [index, place] : flights_) left.emplace(&place.flight->document, place.flight);
    for (const auto& [unused, flight] : left) {
      if (!flight->over)
        fail(flight->item, flight->document.record(), "the model gave no result for this document");
    }
    if (next_item_ < items_.size() || (current_ && !current_->over)) {
      throw std::runtime_error(
          fmt::format("{} stopped asking for documents before the end", model_.info().name));
    }
  }

 private:
  struct Flight {
    Flight(const Item& item, const LanguageModel& model, const RunOptions& options, Record record)
        : item(item),
          document(model, options, *item.task, *item.place.corpus, item.place.document, std::move(record)) {}
    Item item;
    DocumentRun document;
    bool over = false;  // recorded; results that still come are ignored
  };
  struct InFlight {
    std::shared_ptr<Flight> flight;
    std::size_t sequence = 0;
    std::size_t tokens = 0;
    double mark = 0;
  };

  bool stopping() const { return error_ || (options_.stop && options_.stop->load()); }

  bool next_sequence(Sequence& out) {
    double idle = time_.advance();
    while (!current_ || next_of_current_ == current_->document.sequences()) {
      current_.reset();
      if (next_item_ == items_.size()) return false;
      begin(items_[next_item_++]);
      const double passed = time_.advance();
      idle += passed;
      if (current_) current_->document.seconds += idle;
      idle = 0;
      if (current_ && current_->document.sequences() == 0) complete(*current_);
    }
    out = current_->document.sequence(next_of_current_);
    if (options_.windowing.is_request()) share_with_last(out);
    if (!options_.share) out.shared = 0;
    const double mark = time_.enter(out.tokens.size());
    flights_.emplace(next_index_++, InFlight{current_, next_of_current_++, out.tokens.size(), mark});
    return true;
  }

  // Questions of a task often begin with the same examples, or belong to one passage.
  void share_with_last(Sequence& next) {
    const std::size_t shared = shared_tokens(last_, next.tokens);
    if (next.shared == 0 && shared >= kShortestAcross && shared * kSmallestPartAcross >= next.tokens.size())
      next.shared = shared;
    last_.assign(next.tokens.begin(), next.tokens.end());
  }

  // Makes `item` the current document, or records why it cannot be.
  void begin(const Item& item) {
    next_of_current_ = 0;
    Record record = blank_record(item);
    const Document& source = item.place.source();
    if (!source.error.empty()) {
      fail(item, std::move(record), source.error);
      return;
    }
    try {
      current_ = std::make_shared<Flight>(item, model_, options_, record);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      record.bytes = source.text.size();
      fail(item, std::move(record), error.what());
    }
  }

  template <typename Accept>
  void deliver(std::size_t index, Accept accept) {
    const std::scoped_lock lock(mutex_);
    if (error_) return;
    try {
      const auto found = flights_.find(index);
      if (found == flights_.end()) {
        throw std::runtime_error(
            fmt::format("{} delivered sequence {}, which it was not given or had delivered before",
                        model_.info().name, index));
      }
      const InFlight place = std::move(found->second);
      flights_.erase(found);
      Flight& flight = *place.flight;
      time_.advance();
      flight.document.seconds += time_.leave(place.tokens, place.mark);
      if (flight.over) return;
      try {
        accept(flight.document, place.sequence);
      } catch (const std::runtime_error& error) {
        flight.over = true;
        // The rest of a document that failed need not be computed.
        if (current_ == place.flight) next_of_current_ = current_->document.sequences();
        fail(flight.item, flight.document.record(), error.what());
        return;
      }
      if (flight.document.delivered() == flight.document.sequences())
        complete(flight);
      else
        report();
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  void complete(Flight& flight) {
    flight.over = true;
    Record record = flight.document.finish();
    if (options_.token_scores && !options_.token_scores->has(record.key)) {
      // Before the record: a kill between the two repeats the document rather than lose its tokens.
      options_.token_scores->append(flight.document.tokens(token_bytes_));
    }
    if (record.lossy_bytes > 0) {
      ++summary_.lossy_documents;
      summary_.lossy_bytes += record.lossy_bytes;
    }
    recorded(flight.item, std::move(record));
  }

  void fail(const Item& item, Record record, const std::string& reason) {
    record.status = "failed";
    record.reason = reason;
    ++summary_.progress.failed;
    if (summary_.first_failure.empty()) {
      summary_.first_failure = fmt::format("{}/{}: {}", record.corpus, record.document, reason);
    }
    recorded(item, std::move(record));
  }

  void recorded(const Item& item, Record record) {
    append(record);
    ++summary_.progress.done;
    summary_.progress.bytes_done += size_of(item.place.source());
    if (observer_) observer_->recorded(record);
    for (const Place& twin : item.twins) append(copied_record(record, twin));
    report();
  }

  // A document may have been scored again only for its token scores.
  void append(const Record& record) {
    if (!directory_.find(record.key, record.model, record.corpus, record.document)) directory_.append(record);
  }

  void report() {
    summary_.progress.seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
    if (observer_) observer_->progress(summary_.progress);
  }

  Record blank_record(const Item& item) const {
    Record record;
    record.key = item.key;
    record.model = model_name(model_.info(), options_);
    record.task = item.task->name();
    record.windowing = options_.windowing.name();
    record.labels = {{"mode", model_.info().format},
                     {"start", run_identity(model_.info(), *item.task, options_).start_token}};
    if (item.place.source().error.empty()) {
      for (auto& [name, value] : item.task->labels(*item.place.corpus, item.place.document))
        record.labels[name] = value;
    }
    set_document(record, *item.place.corpus, item.place.source());
    return record;
  }

  LanguageModel& model_;
  const RunOptions& options_;
  const std::vector<Item> items_;
  RunDirectory& directory_;
  RunObserver* const observer_;
  RunSummary& summary_;
  TokenBytes token_bytes_;

  std::mutex mutex_;
  std::exception_ptr error_;
  TimeShare time_;
  const Clock::time_point begun_ = Clock::now();
  std::size_t next_item_ = 0;
  std::shared_ptr<Flight> current_;  // the document whose sequences are being given out
  std::size_t next_of_current_ = 0;
  std::size_t next_index_ = 0;
  std::vector<Token> last_;                  // the sequence given out last, of requests
  std::map<std::size_t, InFlight> flights_;  // sequences given out and not delivered, by index
};

}  // namespace

RunIdentity run_identity(const ModelInfo& model, const Task& task, const RunOptions& options) {
  RunIdentity identity;
  identity.model_digest = model.digest;
  identity.tokenizer_digest = model.tokenizer_digest;
  identity.weight_format = model.weight_format;
  identity.activation_format = model.activation_format;
  identity.kernels = model.kernels;
  identity.numerics_version = model.numerics_version;
  identity.task = task.name();
  identity.task_version = task.version();
  identity.windowing = options.windowing.name();
  identity.start_token = start_name(
      options.windowing.kind == Windowing::Kind::uncheatable ? std::nullopt : options.start.resolve(model));
  return identity;
}

RunSummary run(LanguageModel& model, std::span<Task* const> tasks, std::span<const Corpus* const> corpora,
               const RunOptions& options, RunDirectory& directory, RunObserver* observer) {
  std::vector<Assignment> all;
  for (Task* task : tasks) all.push_back({task, {corpora.begin(), corpora.end()}});
  return run(model, all, options, directory, observer);
}

RunSummary run(LanguageModel& model, std::span<const Assignment> assignments, const RunOptions& options,
               RunDirectory& directory, RunObserver* observer) {
  // A policy that can hold nothing is a mistake of the caller's, not of every document.
  cut_tokens(model, options.windowing, options.start.resolve(model.info()), {});
  RunSummary summary;
  std::vector<Item> items;
  std::unordered_map<std::string, std::size_t> item_of;  // by key, of those to be scored
  std::vector<const Corpus*> corpora;
  for (const Assignment& assignment : assignments) {
    for (const Corpus* corpus : assignment.corpora) {
      if (std::find(corpora.begin(), corpora.end(), corpus) == corpora.end()) corpora.push_back(corpus);
    }
  }
  const std::vector<Selected> selected = select(corpora, options.limit, options.shard);
  for (const auto& [task, own] : assignments) {
    for (const Corpus* corpus : own) task->prepare(*corpus, options.seed);
    const RunIdentity identity = run_identity(model.info(), *task, options);
    for (const Selected& chosen : selected) {
      const Place place{corpora[chosen.corpus], chosen.document};
      if (std::find(own.begin(), own.end(), place.corpus) == own.end()) continue;
      const bool readable = place.source().error.empty();
      if (readable && !task->exclusion(*place.corpus, place.document).empty()) {
        ++summary.excluded;
        continue;
      }
      std::string key = record_key(
          identity, readable ? task->digest(*place.corpus, place.document) : place.source().digest);
      summary.keys.push_back(key);
      ++summary.progress.documents;
      if (const auto first = item_of.find(key); first != item_of.end()) {
        items[first->second].twins.push_back(place);
        ++summary.repeated;
        continue;
      }
      const Record* known = directory.find(key);
      if (known && (!options.token_scores || options.token_scores->has(key))) {
        const std::string name = model_name(model.info(), options);
        if (!directory.find(key, name, place.corpus->name, place.source().id)) {
          Record copy = copied_record(*known, place);
          copy.model = name;
          directory.append(copy);
        }
        ++summary.progress.resumed;
        continue;
      }
      summary.progress.bytes += size_of(place.source());
      item_of.emplace(key, items.size());
      items.push_back({task, place, std::move(key), {}});
    }
  }
  if (observer) observer->progress(summary.progress);
  if (items.empty()) return summary;
  Feed feed(model, options, std::move(items), directory, observer, summary);
  try {
    model.score(feed, feed);
  } catch (...) {
    feed.rethrow_error();
    throw;
  }
  feed.finish();
  return summary;
}

}  // namespace deciban
