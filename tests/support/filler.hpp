// Stands in for another process: a member on its own engine that fills the rings of the other members.
#pragma once

#include <string>

#include "support/world.hpp"

namespace cpgring::test {

class filler {
 public:
  /// Joins `group` as process `pid`. Returns when `there`, a member on w, has seen the join.
  filler(world& w, witness& there, const std::string& group, std::uint32_t pid = made_up_pid + 4711);

  /// Multicasts "PREFIX0", "PREFIX1" ... and returns when the service has written all of them into every
  /// member's ring.
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
