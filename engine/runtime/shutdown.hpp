// The end of an engine, step by step: threads end, services are asked for FINALIZE, connections are closed.
//
// Runs on the thread that ends the engine, not inside a callback. Every completion that is still due is
// called here, with errc::stopped.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include <cpgring/engine.hpp>

#include "base/clock.hpp"
#include "runtime/shard.hpp"

namespace cpgring::runtime {

class shutdown {
 public:
  /// Gives the services time between two checks of their answers. Tests replace it.
  using pause_function = void (*)(std::chrono::microseconds span);
  static void sleep(std::chrono::microseconds span);

  explicit shutdown(const std::vector<std::shared_ptr<shard>>& all, pause_function pause = &sleep)
      : all_(all), pause_(pause) {}

  /// Performs all steps. `workers`: null if callbacks run inline.
  shutdown_report run(dispatch::worker_pool* workers, base::time_point until);

 private:
  static void end_driving(shard& one);
  static void begin_closing(shard& one, base::time_point until);
  [[nodiscard]] static std::size_t still_closing(shard& one);
  static void end_closing(shard& one, shutdown_report& report);
  [[nodiscard]] std::size_t wait_for_answers(base::time_point until);

  const std::vector<std::shared_ptr<shard>>& all_;
  const pause_function pause_;
};

}  // namespace cpgring::runtime
