// Implements fault_injector: passes faults from any thread to the service's thread.
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <utility>

#include <cpgring/testing.hpp>

#include "testing/fault_committer.hpp"

namespace cpgring::testing {

struct fault_injector::state {
  fault_committer bad;         // service thread only
  std::atomic<pid_t> home{0};  // the process of the service; 0: there was none yet
  std::mutex lock;             // guards the members below; never held while waiting
  service_faults faults;       // for the next start of a service
  std::shared_ptr<service_controls> controls;
  bool ended = false;
};

fault_injector::fault_injector(std::unique_ptr<state> made) noexcept : state_(std::move(made)) {}
fault_injector::~fault_injector() = default;

result<std::shared_ptr<fault_injector>> fault_injector::create(service_faults faults) {
  if (auto ok = faults.validate(); !ok) {
    return fail(std::move(ok.error()));
  }
  auto made = std::make_unique<state>();
  made->faults = faults;
  return std::shared_ptr<fault_injector>(new fault_injector(std::move(made)));
}

result<void> fault_injector::inject(service_faults faults) {
  if (const pid_t home = state_->home.load(std::memory_order_relaxed); home != 0 && home != ::getpid()) {
    return fail(errc::forked, "the service runs in the parent process");
  }
  if (auto ok = faults.validate(); !ok) {
    return ok;
  }
  std::shared_ptr<service_controls> controls;
  {
    const std::lock_guard lock(state_->lock);
    if (state_->ended) {
      return fail(errc::stopped, "the service has been stopped");
    }
    controls = state_->controls;
    if (controls == nullptr) {
      state_->faults = faults;
      return {};
    }
  }
  return controls->run([this, faults] {
    {
      const std::lock_guard lock(state_->lock);
      state_->faults = faults;
    }
    state_->bad.inject(faults);
  });
}

injected_faults fault_injector::stats() const noexcept { return state_->bad.counts(); }

result<void> fault_injector::attached(std::shared_ptr<service_controls> controls) {
  service_faults first;
  {
    const std::lock_guard lock(state_->lock);
    if (state_->controls != nullptr) {
      return fail(errc::busy, "this fault_injector belongs to another service");
    }
    state_->controls = controls;
    state_->ended = false;
    first = state_->faults;
    state_->home.store(::getpid(), std::memory_order_relaxed);
  }
  state_->bad.begin(std::move(controls), first);
  return {};
}

void fault_injector::detached() {
  {
    const std::lock_guard lock(state_->lock);
    state_->controls = nullptr;
    state_->ended = true;
  }
  state_->bad.end();
}

request_handling fault_injector::before_request(const service_client& from, const service_request& request) {
  return state_->bad.before_request(from, request);
}
void fault_injector::after_request(const service_client& from, const service_request& request) {
  state_->bad.after_request(from, request);
}
event_delivery fault_injector::before_event(const service_client& to, const service_event& event) {
  return state_->bad.before_event(to, event);
}
void fault_injector::after_event(const service_client& to, const service_event& event) {
  state_->bad.after_event(to, event);
}
std::span<const simulated_member> fault_injector::members_of(std::string_view group) {
  return state_->bad.members_of(group);
}
std::vector<std::uint32_t> fault_injector::nodes() { return state_->bad.nodes(); }
void fault_injector::group_emptied(std::string_view group) { state_->bad.group_emptied(group); }
void fault_injector::client_gone(std::uint64_t client) { state_->bad.client_gone(client); }

}  // namespace cpgring::testing
