// Events that come from no ring: posted functions, alarms, and notices of handles without a connection. The
// reactor serves them like a handle, so that modes and budgets count them alike. Reactor thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include <cpgring/error.hpp>
#include <cpgring/function.hpp>

#include "reactor/source.hpp"

namespace cpgring::delivery {

class task_source final : public reactor::source {
 public:
  using failure_log = std::function<void(const error&)>;

  explicit task_source(failure_log on_throw) : on_throw_(std::move(on_throw)) {}

  /// `of`: id of the handle that the task belongs to; 0: it belongs to the engine.
  void add(std::uint64_t of, function<void()> task) { tasks_.push_back({of, std::move(task)}); }
  [[nodiscard]] bool empty() const noexcept { return tasks_.empty(); }
  [[nodiscard]] bool has_any_of(std::uint64_t of) const noexcept;
  /// Runs the first task of `of`, for the dispatch of one handle. False: there is none.
  bool run_one_of(std::uint64_t of);
  void clear() noexcept { tasks_.clear(); }

  reactor::turn_result turn(const reactor::turn_budget& budget) override;
  [[nodiscard]] bool waiting() const noexcept override { return !tasks_.empty(); }
  void hung_up() override {}

 private:
  struct task {
    std::uint64_t of;
    function<void()> run;
  };
  void run(task one);

  failure_log on_throw_;
  std::deque<task> tasks_;
};

}  // namespace cpgring::delivery
