// SHA-256 (OpenSSL), the project's only hash, fed piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace deciban {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::string_view bytes);
  // Lower-case hex of everything given so far.  Call once, at the end.
  std::string hex();

  static std::string of(std::string_view bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deciban
