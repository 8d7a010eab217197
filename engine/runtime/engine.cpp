#include <cpgring/engine.hpp>

#include <utility>

#include "base/throw_error.hpp"
#include "reactor/probe.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/fleet.hpp"

namespace cpgring {
namespace {

engine_options checked(engine_options options) {
  if (auto ok = options.validate(); !ok) {
    base::throw_error(std::move(ok.error()));
  }
  return options;
}

}  // namespace

send_batch::send_batch(std::shared_ptr<runtime::engine_core> core) noexcept : core_(std::move(core)) {
  if (core_) {
    core_->begin_batch();
  }
}
send_batch::send_batch(send_batch&& other) noexcept : core_(std::move(other.core_)) {}
send_batch& send_batch::operator=(send_batch&& other) noexcept {
  std::swap(core_, other.core_);
  return *this;
}
send_batch::~send_batch() {
  if (core_) {
    core_->end_batch();
  }
}

engine::engine(engine_options options) : fleet_(std::make_unique<runtime::fleet>(checked(std::move(options)))) {}

engine::~engine() { fleet_->end(); }
shutdown_report engine::shut_down(std::chrono::milliseconds deadline) { return fleet_->shut_down(deadline); }

result<handle> engine::open(handle_options options, callbacks calls) {
  auto opened = fleet_->open(std::move(options), std::move(calls));
  if (!opened) {
    return fail(opened.error());
  }
  return handle(std::move(*opened));
}

result<void> engine::start() { return fleet_->start(); }

result<void> engine::run() { return fleet_->run(); }

result<dispatched> engine::dispatch(mode how, budget limit) { return fleet_->dispatch(how, limit); }
result<dispatched> engine::poll_once(budget limit) { return fleet_->dispatch(mode::all, limit); }
result<int> engine::fd() { return fleet_->fd(); }
void engine::stop() noexcept { fleet_->stop(); }
bool engine::stopped() const noexcept { return fleet_->stop_requested(); }
result<void> engine::post(std::function<void()> task) { return fleet_->post(std::move(task)); }
result<void> engine::after(std::chrono::nanoseconds delay, std::function<void()> task) { return fleet_->after(delay, std::move(task)); }
send_batch engine::batch() noexcept { return send_batch(fleet_->driven_here()); }
engine_stats engine::stats() const noexcept { return fleet_->stats(); }

probe_report engine::probe() { return reactor::probe(); }

}  // namespace cpgring
