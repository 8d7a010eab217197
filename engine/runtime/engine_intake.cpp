// The way in for other threads: what they ask of an engine goes through the intake queue and is taken here, at the end of each reap().
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"
#include "runtime/crew.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"
#include "runtime/owed_call.hpp"

namespace cpgring::runtime {
namespace {

// Kinds of records in the intake.
enum record : std::uint32_t { record_open = 1, record_call, record_multicast, record_multicast_large, record_confirmed };

struct confirmed_multicast {
  std::vector<std::byte> payload;
  base::time_point deadline;
  handle::confirmation done;
};

// One turn of the intake takes at most this many requests, so that senders cannot keep events from being served.
constexpr std::uint32_t intake_batch = 256;

}  // namespace

void engine_core::wake() const noexcept { visit(*this).wake(); }

result<void> engine_core::push(std::uint32_t kind, std::uint64_t id, dispatch::intake_queue::pieces payload, std::size_t bytes) {
  const visit here(*this);
  if (!here.intake_is_open()) {
    return gone();
  }
  if (!intake_.push(kind, id, payload, bytes)) {
    return fail(errc::try_again, "the intake queue is full: drive the engine, or raise engine_options::intake_bytes");
  }
  here.wake();
  return {};
}

/// What is accepted belongs to the intake.
template <class Request>
result<void> engine_core::push_pointer(std::uint32_t kind, std::uint64_t id, std::unique_ptr<Request>& request) {
  const void* const pointer = request.get();
  const std::span<const std::byte> bytes[] = {std::as_bytes(std::span(&pointer, 1))};
  auto pushed = push(kind, id, bytes, sizeof pointer);
  if (pushed) {
    static_cast<void>(request.release());
  }
  return pushed;
}

result<void> engine_core::cross(std::function<void()> task) {
  auto owned = std::make_unique<std::function<void()>>(std::move(task));
  return push_pointer(record_call, 0, owned);
}

result<void> engine_core::post(std::function<void()> task) {
  if (auto ok = alive(); !ok) {
    return ok;
  }
  if (stop_requested()) {
    return has_stopped();
  }
  return cross([this, task = std::move(task)]() mutable { add_task(0, std::move(task)); });
}

result<void> engine_core::cross_multicast(endpoint& to, dispatch::intake_queue::pieces payload, std::size_t bytes) {
  if (auto ok = to.admit(bytes); !ok) {
    return ok;
  }
  result<void> pushed;
  if (bytes <= intake_.record_max()) {
    pushed = push(record_multicast, to.id(), payload, bytes);
  } else {
    auto copy = std::make_unique<std::vector<std::byte>>();
    copy->reserve(bytes);
    for (const auto& piece : payload) {
      copy->insert(copy->end(), piece.begin(), piece.end());
    }
    pushed = push_pointer(record_multicast_large, to.id(), copy);
  }
  if (pushed) {
    return {};
  }
  to.unadmit(bytes);
  to.wants_writable();
  look_at_all();
  return pushed;
}

result<void> engine_core::cross_confirmed(endpoint& to, std::span<const std::byte> payload, base::time_point deadline,
                                          handle::confirmation done) {
  auto one = std::make_unique<confirmed_multicast>(confirmed_multicast{{payload.begin(), payload.end()}, deadline, std::move(done)});
  auto pushed = push_pointer(record_confirmed, to.id(), one);
  if (!pushed) {
    to.wants_writable();
    look_at_all();
  }
  return pushed;
}

void engine_core::look_at_all() noexcept {
  // SYNC intake_full: stored after the handle's own flag, so that whoever sees this one finds that one too.
  sender_blocked_.store(true, std::memory_order_release);
  wake();
}

result<std::shared_ptr<endpoint>> engine_core::open(std::uint64_t id, handle_options options, callbacks calls) {
  if (auto ok = alive(); !ok) {
    return fail(ok.error());
  }
  if (stop_requested()) {
    return has_stopped();
  }
  if (auto ok = options.validate(); !ok) {
    return fail(ok.error());
  }
  auto made = std::make_shared<endpoint>(shared_from_this(), id, std::move(options), std::move(calls));
  auto opening = std::make_unique<opening_endpoint>(opening_endpoint{made, base::clock::now() + made->options().connect_deadline});
  if (auto pushed = push_pointer(record_open, made->id(), opening); !pushed) {
    return fail(pushed.error());
  }
  return made;
}

bool engine_core::intake_pending(void* self) noexcept {
  auto& core = *static_cast<engine_core*>(self);
  return (core.crew_ && core.crew_->receipts_there()) || core.intake_.pending() || core.sender_blocked_.load(std::memory_order_relaxed) ||
         core.stop_requested();
}

bool engine_core::take_intake(void* self) {
  auto& core = *static_cast<engine_core*>(self);
  core.take_receipts();
  const std::uint32_t taken = core.intake_.pop(
      intake_batch,
      [&core](std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload) { core.take_record(kind, id, payload); });
  core.crossings_.add(taken);
  core.flush_staged();
  // SYNC intake_full: pairs with cross_multicast: the handles' own flags are seen after this.
  if (core.sender_blocked_.load(std::memory_order_relaxed) && core.sender_blocked_.exchange(false, std::memory_order_acquire)) {
    std::vector<std::shared_ptr<endpoint>> all;
    for (auto& [id, one] : core.endpoints_) {
      all.push_back(one);
    }
    for (auto& one : all) {
      one->close_if_requested();
      one->say_writable_if_blocked();
    }
  }
  core.begin_connects();
  return taken != 0;
}

void engine_core::take_record(std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload) {
  void* pointer = nullptr;
  if (kind != record_multicast) {
    CPGRING_CHECK(payload.size() == sizeof pointer);
    std::memcpy(&pointer, payload.data(), sizeof pointer);
  }
  switch (kind) {
    case record_open: {
      const std::unique_ptr<opening_endpoint> opening(static_cast<opening_endpoint*>(pointer));
      {
        const std::lock_guard lock(registry_lock_);
        endpoints_.emplace(id, opening->who);
      }
      handles_.add();
      to_connect_.push_back(std::move(*opening));
      return;
    }
    case record_call: {
      const std::unique_ptr<std::function<void()>> call(static_cast<std::function<void()>*>(pointer));
      (*call)();
      return;
    }
    case record_multicast:
      if (const auto to = endpoints_.find(id); to != endpoints_.end()) {
        to->second->multicast_crossed(payload);
      }
      return;
    case record_multicast_large: {
      const std::unique_ptr<std::vector<std::byte>> bytes(static_cast<std::vector<std::byte>*>(pointer));
      if (const auto to = endpoints_.find(id); to != endpoints_.end()) {
        to->second->multicast_crossed(*bytes);
      }
      return;
    }
    case record_confirmed: {
      const std::unique_ptr<confirmed_multicast> one(static_cast<confirmed_multicast*>(pointer));
      const auto to = endpoints_.find(id);
      auto asked = to == endpoints_.end() ? result<void>(fail(errc::bad_handle, "the handle ended before the message could be sent"))
                                          : to->second->multicast_confirmed_crossed(one->payload, one->deadline, one->done);
      if (!asked) {
        refuse(id, std::move(one->done), asked.error());
      }
      return;
    }
    default: CPGRING_CHECK(kind == record_open);  // no other kind is ever pushed
  }
}

void engine_core::refuse(std::uint64_t id, handle::confirmation done, error why) {
  auto owed = std::make_shared<owed_call<const multicast_outcome&>>(*this, std::move(done));
  add_task(id, [owed = std::move(owed), why = std::move(why)] { owed->call(multicast_outcome{multicast_fate::not_sent, 0, &why}); });
}

/// At the end: multicasts get in line to be sent, the rest will not be done any more. Nothing may be asked of the reactor.
void engine_core::take_last_records() {
  while (intake_.pop(intake_batch, [this](std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload) {
    void* pointer = nullptr;
    if (kind != record_multicast) {
      std::memcpy(&pointer, payload.data(), sizeof pointer);
    }
    switch (kind) {
      case record_open: delete static_cast<opening_endpoint*>(pointer); break;
      case record_call: delete static_cast<std::function<void()>*>(pointer); break;
      default: take_record(kind, id, payload); break;
    }
  }) != 0) {
  }
}

void engine_core::begin_connects() {
  if (std::exchange(beginning_connects_, true)) {
    return;  // a handshake that failed at once: the loop below goes on with the next one
  }
  while (!to_connect_.empty() && handshakes_ < handshakes_max_ && !stop_requested()) {
    opening_endpoint next = std::move(to_connect_.front());
    to_connect_.pop_front();
    if (next.who->ended()) {
      continue;
    }
    ++handshakes_;
    next.who->begin_connect(next.deadline);
  }
  beginning_connects_ = false;
}

void engine_core::connect_done() {
  CPGRING_CHECK(handshakes_ > 0);
  --handshakes_;
  begin_connects();
}

}  // namespace cpgring::runtime
