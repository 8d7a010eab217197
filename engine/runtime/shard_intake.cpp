// Station C3 of 11: from dispatch/intake_queue, to runtime/handle_requests.
//
// Takes the requests of other threads from the intake queue, at the end of each reap().
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/check.hpp"
#include "delivery/completion_guard.hpp"
#include "runtime/shard.hpp"

namespace cpgring::runtime {
namespace {

// Kinds of records in the intake.
enum record : std::uint32_t {
  record_open = 1,
  record_call,
  record_multicast,
  record_multicast_large,
  record_confirmed
};

struct confirmed_multicast {
  std::vector<std::byte> payload;
  base::time_point deadline;
  confirmation done;
};

// Limit of requests that one turn of the intake takes, so that senders do not starve events.
constexpr std::uint32_t intake_batch = 256;

}  // namespace

void shard::wake() const noexcept {
  const visit here(visited_);
  if (auto* const there = here.get()) {
    there->wake();
  }
}

result<void> shard::push(std::uint32_t kind, std::uint64_t id, dispatch::intake_queue::pieces payload,
                         std::size_t bytes) {
  const visit here(visited_);
  if (!here.is_open()) {
    return fail(errc::bad_handle, "the engine of this handle has ended");
  }
  if (!intake_.push(kind, id, payload, bytes)) {
    return fail(errc::try_again,
                "the intake queue is full: drive the engine, or raise engine_options::intake_bytes");
  }
  if (auto* const there = here.get()) {
    there->wake();
  }
  return {};
}

/// If the request is accepted, the intake owns it.
template <class Request>
result<void> shard::push_pointer(std::uint32_t kind, std::uint64_t id, std::unique_ptr<Request>& request) {
  const void* const pointer = request.get();
  const std::span<const std::byte> bytes[] = {std::as_bytes(std::span(&pointer, 1))};
  auto pushed = push(kind, id, bytes, sizeof pointer);
  if (pushed) {
    static_cast<void>(request.release());
  }
  return pushed;
}

result<void> shard::cross(function<void()> task) {
  auto owned = std::make_unique<function<void()>>(std::move(task));
  return push_pointer(record_call, 0, owned);
}

result<void> shard::post(function<void()> task) {
  if (auto ok = alive(); !ok) {
    return ok;
  }
  if (stop_requested()) {
    return stopped_error();
  }
  return cross([this, task = std::move(task)]() mutable { add_task(0, std::move(task)); });
}

result<void> shard::submit_multicast(handle_core& to, dispatch::intake_queue::pieces payload,
                                     std::size_t bytes) {
  if (auto ok = to.admit(bytes, bytes); !ok) {
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
  to.queue().undo_admit(bytes);
  to.queue().set_refused_sender();
  check_all_handles();
  return pushed;
}

result<void> shard::submit_confirmed(handle_core& to, std::span<const std::byte> payload,
                                     base::time_point deadline, confirmation done) {
  auto one = std::make_unique<confirmed_multicast>(
      confirmed_multicast{{payload.begin(), payload.end()}, deadline, std::move(done)});
  auto pushed = push_pointer(record_confirmed, to.id(), one);
  if (!pushed) {
    to.queue().set_refused_sender();
    check_all_handles();
  }
  return pushed;
}

void shard::check_all_handles() noexcept {
  // SYNC intake_full: stored after the handle's own flag, so a thread that sees this one sees that one too.
  flags_set_.store(true, std::memory_order_release);
  wake();
}

result<std::shared_ptr<handle_core>> shard::open(std::uint64_t id, handle_options options,
                                                 std::shared_ptr<const callbacks> calls) {
  if (auto ok = alive(); !ok) {
    return fail(ok.error());
  }
  if (stop_requested()) {
    return stopped_error();
  }
  auto made = std::make_shared<handle_core>(shared_from_this(), id, std::move(options), std::move(calls));
  const bool rings_full = all_->add_rings(made->ring_room());
  made->open();
  auto one =
      std::make_unique<opening>(opening{made, shared_.clock.read() + made->options().connect_deadline});
  if (auto pushed = push_pointer(record_open, made->id(), one); !pushed) {
    return fail(pushed.error());
  }
  if (rings_full) {
    log(log_level::warning,
        fmt::format(
            "the rings of this engine's handles take up to {} MiB, and /dev/shm has {} MiB: handles beyond "
            "that can't connect; choose smaller ring_bytes, or make /dev/shm larger (mount -o remount,size=)",
            all_->ring_bytes() >> 20, all_->ring_room() >> 20));
  }
  return made;
}

CPGRING_HOT bool shard::intake_pending(void* self) noexcept {
  auto& me = *static_cast<shard*>(self);
  return (me.shared_.workers && me.shared_.workers->reports_waiting()) || me.intake_.pending() ||
         me.flags_set_.load(std::memory_order_relaxed) || me.stop_requested();
}

CPGRING_HOT bool shard::take_intake(void* self) {
  auto& me = *static_cast<shard*>(self);
  if (me.shared_.workers) {
    me.shared_.workers->take_reports();
  }
  const std::uint32_t taken = me.intake_.pop(
      intake_batch, [&me](std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload) {
        me.take_record(kind, id, payload);
      });
  me.crossings_.add(taken);
  me.flush_dirty();
  // SYNC intake_full: pairs with check_all_handles: the flags of the handles are read after this.
  if (me.flags_set_.load(std::memory_order_relaxed) &&
      me.flags_set_.exchange(false, std::memory_order_acquire)) {
    me.serve_flags();
  }
  me.begin_handshakes();
  return taken != 0;
}

void shard::serve_flags() {
  std::vector<std::shared_ptr<handle_core>> all;
  add_handles(all);
  for (auto& one : all) {
    one->close_if_requested();
    one->notify_writable_if_refused();
  }
}

void shard::take_open(opening one) {
  if (!one.who->over()) {  // else it was closed before it was opened
    const std::lock_guard lock(registry_lock_);
    registry_.emplace(one.who->id(), one.who);
    handles_.add();
  }
  auto first = one.who->take_first_link();
  queued_.push_back({first.get(), one.deadline});
  keep(std::move(one.who), std::move(first));
}

void shard::take_record(std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload) {
  void* pointer = nullptr;
  if (kind != record_multicast) {
    CPGRING_CHECK(payload.size() == sizeof pointer);
    std::memcpy(&pointer, payload.data(), sizeof pointer);
  }
  switch (kind) {
    case record_open: {
      const std::unique_ptr<opening> one(static_cast<opening*>(pointer));
      take_open(std::move(*one));
      return;
    }
    case record_call: {
      const std::unique_ptr<function<void()>> call(static_cast<function<void()>*>(pointer));
      (*call)();
      return;
    }
    case record_multicast:
      if (const auto to = registry_.find(id); to != registry_.end()) {
        to->second->multicast_submitted(payload);
      }
      return;
    case record_multicast_large: {
      const std::unique_ptr<std::vector<std::byte>> bytes(static_cast<std::vector<std::byte>*>(pointer));
      if (const auto to = registry_.find(id); to != registry_.end()) {
        to->second->multicast_submitted(*bytes);
      }
      return;
    }
    case record_confirmed: {
      const std::unique_ptr<confirmed_multicast> one(static_cast<confirmed_multicast*>(pointer));
      const auto to = registry_.find(id);
      auto asked =
          to == registry_.end()
              ? result<void>(fail(errc::bad_handle, "the handle ended before the message could be sent"))
              : to->second->multicast_confirmed_submitted(one->payload, one->deadline, std::move(one->done));
      if (!asked) {
        refuse_multicast(id, std::move(one->done), asked.error());
      }
      return;
    }
    default: CPGRING_CHECK(kind == record_open);  // no other kind exists
  }
}

void shard::refuse_multicast(std::uint64_t id, confirmation done, error why) {
  auto guard =
      std::make_shared<delivery::completion_guard<const multicast_outcome&>>(options_.log, std::move(done));
  add_task(id, [guard, why = std::move(why)] {
    guard->call(multicast_outcome{multicast_fate::not_sent, 0, why});
  });
}

/// At the end: queues multicasts for sending, and drops all other requests. Does not use the reactor.
void shard::take_last_records() {
  while (intake_.pop(intake_batch,
                     [this](std::uint32_t kind, std::uint64_t id, std::span<const std::byte> payload) {
                       void* pointer = nullptr;
                       if (kind != record_multicast) {
                         std::memcpy(&pointer, payload.data(), sizeof pointer);
                       }
                       switch (kind) {
                         case record_open: delete static_cast<opening*>(pointer); break;
                         case record_call: delete static_cast<function<void()>*>(pointer); break;
                         default: take_record(kind, id, payload); break;
                       }
                     }) != 0) {
  }
}

}  // namespace cpgring::runtime
