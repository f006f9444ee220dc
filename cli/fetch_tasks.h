// deciban fetch tasks:NAME,…: the rows of standard tasks to where deciban eval looks for them.
#pragma once

#include <string>

#include "cli/console.h"
#include "cli/fetch.h"

namespace deciban {

// `names`: tasks and groups, comma-separated.  As fetch().
int fetch_tasks(const FetchOptions& options, const std::string& names, const Console& console);

}  // namespace deciban
