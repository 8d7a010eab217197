#include "delivery/task_source.hpp"

#include <algorithm>
#include <utility>

#include "dispatch/deliver.hpp"

namespace cpgring::delivery {

void task_source::run(task one) {
  if (auto thrown = dispatch::deliver(one.run); thrown && on_throw_) {
    on_throw_(*thrown);
  }
}

bool task_source::has_any_of(std::uint64_t of) const noexcept {
  return std::any_of(tasks_.begin(), tasks_.end(), [of](const task& t) { return t.of == of; });
}

bool task_source::run_one_of(std::uint64_t of) {
  const auto found = std::find_if(tasks_.begin(), tasks_.end(), [of](const task& t) { return t.of == of; });
  if (found == tasks_.end()) {
    return false;
  }
  task one = std::move(*found);
  tasks_.erase(found);
  run(std::move(one));
  return true;
}

reactor::turn_result task_source::turn(const reactor::turn_budget& budget) {
  reactor::turn_result done{};
  // Tasks that are added meanwhile wait for the next turn, so that a task that posts itself can't prolong
  // this one for ever.
  std::size_t there = tasks_.size();
  while (there-- > 0 && done.events < budget.events && !tasks_.empty()) {
    task one = std::move(tasks_.front());
    tasks_.pop_front();
    run(std::move(one));
    ++done.events;
  }
  done.more = !tasks_.empty();
  return done;
}

}  // namespace cpgring::delivery
