// Events that come from no ring: posted functions, alarms, last words of handles that have no connection. Served by the reactor like a
// handle, so that modes and budgets count them alike. The reactor's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include <cpgring/error.hpp>

#include "reactor/source.hpp"

namespace cpgring::runtime {

class task_source final : public reactor::source {
 public:
  using failure_log = std::function<void(const error&)>;

  explicit task_source(failure_log on_throw) : on_throw_(std::move(on_throw)) {}

  /// `of`: the endpoint in whose name it runs; 0: the engine's.
  void add(std::uint64_t of, std::function<void()> task) { tasks_.push_back({of, std::move(task)}); }
  [[nodiscard]] bool empty() const noexcept { return tasks_.empty(); }
  [[nodiscard]] bool has_any_of(std::uint64_t of) const noexcept;
  /// The first one of `of` alone, for the dispatch of one handle; false: there is none.
  bool run_one_of(std::uint64_t of);
  void clear() noexcept { tasks_.clear(); }

  reactor::turn_result turn(const reactor::turn_budget& budget) override;
  [[nodiscard]] bool waiting() const noexcept override { return !tasks_.empty(); }
  void hung_up() override {}

 private:
  struct task {
    std::uint64_t of;
    std::function<void()> run;
  };
  void run(task one);

  failure_log on_throw_;
  std::deque<task> tasks_;
};

}  // namespace cpgring::runtime
