#include "delivery/alarms.hpp"

#include <algorithm>
#include <cstdint>

namespace cpgring::delivery {

void alarm_state::run(bool again) {
  struct finally {
    alarm_state& of;
    bool again;
    ~finally() {
      of.running = false;
      if (!again || of.cancelled.load(std::memory_order_relaxed)) {
        of.task = nullptr;
      }
    }
  } const end{*this, again};
  running = true;
  task();
}

void alarms::alarm::expired() {
  const bool again = interval.count() != 0;
  if (!state->waits) {
    state->waits = true;
    of.run_later_([run = state, again] {
      run->waits = false;
      if (!run->cancelled.load(std::memory_order_relaxed)) {
        run->run(again);
      }
    });
  }
  if (!again || state->cancelled.load(std::memory_order_relaxed)) {
    of.all_.erase(state.get());  // destroys this
    return;
  }
  const auto missed = std::max((loop.now() - when) / interval, std::int64_t{0});
  when = base::later(when, interval * (missed + 1));
  loop.schedule(*this, when);
}

alarms::~alarms() { forget_all(); }

void alarms::add(reactor::reactor& loop, std::shared_ptr<alarm_state> state, base::time_point when,
                 base::nanoseconds interval) {
  const auto* key = state.get();
  auto& made = all_[key] = std::make_unique<alarm>(*this, loop, std::move(state), when, interval);
  loop.schedule(*made, when);
}

void alarms::remove(const std::shared_ptr<alarm_state>& state) noexcept {
  if (const auto at = all_.find(state.get()); at != all_.end()) {
    at->second->loop.cancel(*at->second);
    all_.erase(at);
  }
  if (!state->running) {
    state->task = nullptr;
  }
}

void alarms::forget_all() noexcept {
  for (const auto& [state, one] : all_) {
    one->state->task = nullptr;  // a scheduled_task may still refer to the state
  }
  all_.clear();
}

}  // namespace cpgring::delivery
