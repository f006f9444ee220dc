// The gate's measuring process: answers requests, one JSON object a line, with the time of one case.  Two
// builds of the program understand each other by these lines alone.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace deciban {

// {"case": NAME, "batch_seconds": s, "batches": n}
struct TimingRequest {
  std::string name;             // of a PlacedCase
  double batch_seconds = 5e-4;  // a batch is as many calls as take this long at least
  int batches = 3;
};

// The seconds of one call in the fastest of several batches: what disturbs a batch only makes it slower.
// The first call and those that find out how many make a batch are not counted.
double fastest_batch(const std::function<void()>& call, double batch_seconds, int batches,
                     const std::function<double()>& clock);

// Answers until the input ends: to {"hello": 1} with {"hello": 1, "commit": …, "cases": […]}, to a request
// with {"seconds": s}, to what it cannot do with {"error": why}.  `threads` compute each case: one is
// measured by its processor time, several and devices by the clock.
void answer_timings(std::istream& in, std::ostream& out, int threads);

// The other side of these lines.
std::string hello_line();
std::string to_line(const TimingRequest& request);
struct Hello {
  std::string commit;
  std::vector<std::string> cases;  // names of PlacedCases on the CPU, in every kernel table it has
};
// Both throw std::runtime_error for an answer that is an error or none.
Hello parse_hello(const std::string& line);
double parse_seconds(const std::string& line);

}  // namespace deciban
