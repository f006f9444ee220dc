// Ctrl-C and SIGTERM: the first asks a run to stop and keep what it has, the second ends the program at once.
#pragma once

#include <atomic>

namespace deciban {

// Becomes true at the first signal after catch_interrupts().
const std::atomic<bool>& interrupted();
void catch_interrupts();

}  // namespace deciban
