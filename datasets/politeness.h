// The pause between requests, kept by all processes of the user together: a file holds the time of the last
// request, its lock is held while one runs.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "datasets/fetch_time.h"

namespace deciban {

// $XDG_CACHE_HOME/deciban, else ~/.cache/deciban.  On a home directory that machines share it is one folder
// for all of them, as arXiv's terms ask.  Throws std::runtime_error if neither is known.
std::filesystem::path user_cache_folder();

// The pause before a request: `wanted`, and never less than the terms of the URL's host ask for (arXiv: 3 s).
std::chrono::milliseconds pause_before(const std::string& url, std::chrono::milliseconds wanted);
// How long nothing may be asked after an answer: arXiv takes quick requests after a 403 for an attack.
std::chrono::milliseconds quiet_after(const std::string& url, long status);

class RequestGate {
 public:
  // The right to make one request now; no other process of the user makes one until it is gone.
  class Turn {
   public:
    Turn(Turn&& other) noexcept;
    Turn& operator=(Turn&&) = delete;
    ~Turn();
    // A server asked for quiet: nobody gets a turn for so long.
    void hold_off(std::chrono::milliseconds duration);

   private:
    friend class RequestGate;
    explicit Turn(RequestGate& gate) : gate_(&gate) {}
    RequestGate* gate_;
  };

  // Makes the file and its folder.  Throws std::runtime_error naming the file.
  RequestGate(const std::filesystem::path& file, Clock& clock, StopCheck stop = {});
  ~RequestGate();
  RequestGate(const RequestGate&) = delete;
  RequestGate& operator=(const RequestGate&) = delete;

  // Waits for its turn: nobody else is at it, and the last request of anybody began at least `interval` ago.
  // Throws FetchStopped, and std::runtime_error if the file can't be used.
  Turn enter(std::chrono::milliseconds interval);

 private:
  struct Times {
    Clock::Time last, quiet_until;
  };
  Times read() const;
  void write(const Times& times) const;

  std::filesystem::path file_;
  int descriptor_;
  Clock& clock_;
  StopCheck stop_;
};

}  // namespace deciban
