// What every reader must survive: its files cut off anywhere and with flipped bits.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>
#include <string>

#include "tests/engine/checkpoint_files.h"

namespace deciban::testing_files {

// Reads the bytes and every tensor in them; true if they were accepted.  Anything but success or a
// std::runtime_error that names the file escapes and fails the test.
inline bool accepted(const std::string& bytes) {
  try {
    const Checkpoint checkpoint = read_bytes(bytes);
    for (const auto& tensor : checkpoint.tensors) tensor.read_all();
    return true;
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()).rfind("file: ", 0), 0u) << error.what();
    return false;
  }
}

// Every shorter file must be refused.
inline void expect_truncations_refused(const std::string& whole) {
  ASSERT_TRUE(accepted(whole));
  for (std::size_t length = 1; length < whole.size(); length += 1 + whole.size() / 997) {
    EXPECT_FALSE(accepted(whole.substr(0, length))) << length << " of " << whole.size() << " bytes";
  }
  EXPECT_FALSE(accepted(whole.substr(0, whole.size() - 1)));
}

inline void survive_bit_flips(const std::string& whole, std::size_t rounds = 3000) {
  std::mt19937 random(20231123);
  std::size_t refused = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    std::string damaged = whole;
    const std::size_t flips = 1 + random() % 4;
    for (std::size_t i = 0; i < flips; ++i)
      damaged[random() % damaged.size()] ^= static_cast<char>(1u << random() % 8);
    refused += !accepted(damaged);
  }
  EXPECT_GT(refused, 0u);
}

}  // namespace deciban::testing_files
