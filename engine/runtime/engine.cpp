#include <cpgring/engine.hpp>

#include <system_error>
#include <utility>

#include "reactor/probe.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"

namespace cpgring {
namespace {

engine_options checked(engine_options options) {
  if (auto ok = options.validate(); !ok) {
    throw std::system_error(ok.error().code, ok.error().message());
  }
  return options;
}

}  // namespace

send_batch::send_batch(std::shared_ptr<runtime::engine_core> core) noexcept : core_(std::move(core)) {
  if (core_->on_driver_thread()) {
    core_->begin_batch();
  } else {
    core_.reset();
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

engine::engine(engine_options options) : core_(std::make_shared<runtime::engine_core>(checked(std::move(options)))) {}

engine::~engine() { core_->shut_down(); }

result<handle> engine::open(handle_options options, callbacks calls) {
  auto opened = core_->open(std::move(options), std::move(calls));
  if (!opened) {
    return fail(opened.error());
  }
  return handle(std::move(*opened));
}

result<void> engine::start() { return core_->start(); }

result<void> engine::run() {
  auto ended = core_->dispatch(mode::blocking, {}, nullptr);
  if (!ended && ended.error() != errc::stopped) {
    return fail(ended.error());
  }
  return {};
}

result<dispatched> engine::dispatch(mode how, budget limit) { return core_->dispatch(how, limit, nullptr); }
result<dispatched> engine::poll_once(budget limit) { return core_->dispatch(mode::all, limit, nullptr); }
result<int> engine::fd() { return core_->fd(); }
void engine::stop() noexcept { core_->stop(); }
bool engine::stopped() const noexcept { return core_->stop_requested(); }
result<void> engine::post(std::function<void()> task) { return core_->post(std::move(task)); }
result<void> engine::after(std::chrono::nanoseconds delay, std::function<void()> task) { return core_->after(delay, std::move(task)); }
send_batch engine::batch() noexcept { return send_batch(core_); }
engine_stats engine::stats() const noexcept { return core_->stats(); }

probe_report engine::probe() { return reactor::probe(); }

}  // namespace cpgring
