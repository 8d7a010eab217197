// Another process's stand-in: a member on an engine of its own that makes events wait in the other members' rings.
#pragma once

#include <string>

#include "support/world.hpp"

namespace cpgring::test {

class filler {
 public:
  /// Joins `group` as process `pid`; `there`, a member of w's, has seen it when this returns.
  filler(world& w, witness& there, const std::string& group, std::uint32_t pid = made_up_pid + 4711);

  /// Multicasts "PREFIX0", "PREFIX1" ... and returns when the service has put all of them into every member's ring.
  void fill(int count, const std::string& prefix = "m", std::size_t size = 0);
  handle& self() { return self_; }
  engine& loop() { return engine_; }
  [[nodiscard]] int received() const noexcept { return received_; }
  bool until(const std::function<bool()>& condition);

 private:
  engine engine_;
  handle self_;
  int received_ = 0;
  bool joined_ = false;
};

}  // namespace cpgring::test
