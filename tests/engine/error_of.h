// The message of the std::runtime_error that a call throws.
#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace deciban {

template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no std::runtime_error";
  return {};
}

}  // namespace deciban
