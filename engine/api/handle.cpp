// Station C1 of 11: from the caller, to dispatch/intake_queue.
//
// All calls of a handle: on the engine's thread they go directly to the session, from other threads through
// the intake queue.
#include <cpgring/handle.hpp>

#include <string>
#include <utility>

#include <fmt/format.h>

#include "api/engine_impl.hpp"
#include "base/hot.hpp"
#include "cpg/not_joined.hpp"
#include "delivery/completion_guard.hpp"
#include "runtime/handle_core.hpp"
#include "runtime/shard.hpp"

namespace cpgring {
namespace {

using runtime::handle_core;
using core_ptr = std::shared_ptr<handle_core>;

bool ended(handle_state state) noexcept {
  return state == handle_state::closed || state == handle_state::lost;
}

result<void> usable(const core_ptr& of) {
  if (of == nullptr) {
    return fail(errc::bad_handle, "the handle object is empty");
  }
  if (auto ok = of->on().alive(); !ok) {
    return ok;
  }
  if (of->is_away()) {
    return handle_core::away();
  }
  if (ended(of->state())) {
    return fail(errc::bad_handle, fmt::format("the handle is {}", to_string(of->state())));
  }
  return {};
}

/// Runs `request` at once on the engine's thread. From other threads it is sent there, and only `done` gets
/// its outcome.
template <class Outcome, class Request>
result<void> ask(const core_ptr& of, function<void(Outcome)> done, Request request) {
  if (auto ok = usable(of); !ok) {
    return ok;
  }
  std::shared_ptr<delivery::completion_guard<Outcome>> guard;
  function<void(Outcome)> once;
  if (done) {
    auto slot = of->requests().take();
    if (!slot) {
      return fail(errc::try_again,
                  fmt::format("{} requests of this handle are unanswered: wait for an answer first",
                              handle::requests_max));
    }
    guard = std::make_shared<delivery::completion_guard<Outcome>>(of->on().options().log, std::move(done),
                                                                  std::move(slot));
    once = [guard](Outcome outcome) { guard->call(std::move(outcome)); };
  }
  result<void> asked;
  if (of->on().on_driver_thread()) {
    asked = request(*of, std::move(once));
  } else {
    asked = of->on().cross([of, guard, once = std::move(once), request = std::move(request)]() mutable {
      if (auto outcome = request(*of, std::move(once)); !outcome && guard) {
        of->on().add_task(of->id(), [guard, why = outcome.error()] { guard->call(Outcome(fail(why))); });
      }
    });
  }
  if (!asked && guard) {
    guard->forget();
  }
  return asked;
}

result<void> confirmation_deadline_in_range(std::chrono::milliseconds deadline) {
  if (deadline.count() <= 0 || deadline > handle::confirmation_deadline_max) {
    return fail(errc::invalid_param,
                fmt::format("the deadline is {} ms, it must be 1 to {}", deadline.count(),
                            handle::confirmation_deadline_max.count()));
  }
  return {};
}

/// Like ask(), for requests that are made only for their answer: `done` must not be empty.
template <class Outcome, class Request>
result<void> ask_for_answer(const core_ptr& of, function<void(Outcome)> done, Request request) {
  return done ? ask(of, std::move(done), std::move(request))
              : fail(errc::invalid_param, "the completion is empty: nothing would receive the answer");
}

}  // namespace

// --- reservation -------------------------------------------------------------------------------------------

reservation::reservation(std::shared_ptr<handle_core> owner, std::span<std::byte> bytes,
                         std::uint64_t number) noexcept
    : owner_(std::move(owner)), bytes_(bytes), number_(number) {}
reservation::reservation(reservation&& other) noexcept
    : owner_(std::move(other.owner_)), bytes_(std::exchange(other.bytes_, {})), number_(other.number_) {}
reservation& reservation::operator=(reservation&& other) noexcept {
  if (this != &other) {
    if (owner_) {
      owner_->abandon(number_);
    }
    owner_ = std::move(other.owner_);
    bytes_ = std::exchange(other.bytes_, {});
    number_ = other.number_;
  }
  return *this;
}
reservation::~reservation() {
  if (owner_) {
    owner_->abandon(number_);
  }
}
result<void> reservation::commit() { return commit(bytes_.size()); }
result<void> reservation::commit(std::size_t size) {
  if (owner_ == nullptr) {
    return fail(errc::bad_handle, "the reservation was committed already");
  }
  if (size > bytes_.size()) {
    return fail(errc::too_big,
                fmt::format("commit of {} bytes into a reservation of {}", size, bytes_.size()));
  }
  bytes_ = {};
  return std::exchange(owner_, nullptr)->commit(number_, size);
}

// --- handle ------------------------------------------------------------------------------------------------

result<void> handle::join(std::string_view group, completion<void> done) {
  if (group.empty()) {
    return fail(errc::invalid_param,
                "a group name has 1 to 128 bytes; an empty name would leave ghost members behind");
  }
  if (group.size() > group_name_max) {
    return fail(errc::name_too_long,
                fmt::format("a group name has 1 to {} bytes, this one has {}", group_name_max, group.size()));
  }
  return ask(core_, std::move(done), [name = std::string(group)](handle_core& to, completion<void> then) {
    return to.join(name, std::move(then));
  });
}

result<void> handle::leave(completion<void> done) {
  return ask(core_, std::move(done),
             [](handle_core& to, completion<void> then) { return to.leave(std::move(then)); });
}

void handle::close() {
  if (core_ == nullptr || !core_->on().alive()) {
    return;
  }
  core_->request_close();
}

CPGRING_HOT result<void> handle::multicast(std::span<const std::byte> payload) {
  const std::span<const std::byte> one[] = {payload};
  return multicast(one);
}

CPGRING_HOT result<void> handle::multicast(std::span<const std::span<const std::byte>> pieces) {
  if (auto ok = usable(core_);
      !ok && (core_ == nullptr || ok.error() != errc::service_lost || !core_->keeps_multicasts())) {
    return ok;
  }
  std::size_t bytes = 0;
  for (const auto& piece : pieces) {
    bytes += piece.size();
  }
  auto& shard = core_->on();
  if (shard.on_driver_thread()) {
    return core_->multicast(pieces, bytes);
  }
  if (core_->state() != handle_state::joined && !core_->keeps_multicasts()) {
    return shard.driven() ? cpg::not_joined(core_->state()) : cpg::not_driven();
  }
  return shard.submit_multicast(*core_, pieces, bytes);
}

result<void> handle::multicast_confirmed(std::span<const std::byte> payload,
                                         std::chrono::milliseconds deadline, confirmation done) {
  if (auto ok = usable(core_);
      !ok && (core_ == nullptr || ok.error() != errc::service_lost || !core_->keeps_multicasts())) {
    return ok;
  }
  if (auto ok = confirmation_deadline_in_range(deadline); !ok) {
    return ok;
  }
  if (!done) {
    return fail(errc::invalid_param, "the confirmation is empty: use multicast()");
  }
  auto& shard = core_->on();
  const std::span<const std::byte> one[] = {payload};
  const bool here = shard.on_driver_thread();
  if (!here && core_->state() != handle_state::joined && !core_->keeps_multicasts()) {
    return shard.driven() ? cpg::not_joined(core_->state()) : cpg::not_driven();
  }
  if (auto ok = core_->admit(payload.size() + handle_core::confirmation_overhead, payload.size()); !ok) {
    return ok;
  }
  const auto until = base::clock::now() + deadline;
  auto asked = here ? core_->multicast_confirmed(one, payload.size(), until, std::move(done))
                    : shard.submit_confirmed(*core_, payload, until, std::move(done));
  if (!asked) {
    core_->queue().undo_admit(payload.size() + handle_core::confirmation_overhead);
  }
  return asked;
}

result<void> handle::multicast_confirmed(std::span<const std::byte> payload, confirmation done) {
  if (core_ == nullptr) {
    return usable(core_);
  }
  return multicast_confirmed(payload, core_->options().control_deadline, std::move(done));
}

result<void> handle::flush(std::chrono::milliseconds deadline, completion<void> done) {
  if (auto ok = confirmation_deadline_in_range(deadline); !ok) {
    return ok;
  }
  const auto until = base::clock::now() + deadline;
  return ask_for_answer(core_, std::move(done), [until](handle_core& to, completion<void> then) {
    return to.flush(until, std::move(then));
  });
}

result<reservation> handle::reserve(std::size_t size) {
  if (auto ok = usable(core_); !ok) {
    return fail(ok.error());
  }
  if (!core_->on().on_driver_thread()) {
    return fail(errc::wrong_thread,
                "reserve() writes directly into the request ring: only the thread that drives the engine may "
                "call it");
  }
  auto room = core_->reserve(size);
  if (!room) {
    return fail(room.error());
  }
  return reservation(core_, room->bytes, room->number);
}

std::size_t handle::max_atomic_message() const noexcept { return core_ == nullptr ? 0 : core_->atomic_max(); }

result<void> handle::query_members(std::string_view group, completion<std::vector<member_address>> done) {
  return ask_for_answer(
      core_, std::move(done),
      [name = std::string(group)](handle_core& to, completion<std::vector<member_address>> then) {
        return to.request([&](cpg::session& s, base::time_point now) {
          return s.query_members(name, std::move(then), now);
        });
      });
}

result<void> handle::query_groups(completion<std::vector<group_entry>> done) {
  return ask_for_answer(
      core_, std::move(done), [](handle_core& to, completion<std::vector<group_entry>> then) {
        return to.request(
            [&](cpg::session& s, base::time_point now) { return s.query_groups(std::move(then), now); });
      });
}

result<void> handle::query_local_node(completion<std::uint32_t> done) {
  return ask_for_answer(core_, std::move(done), [](handle_core& to, completion<std::uint32_t> then) {
    return to.request(
        [&](cpg::session& s, base::time_point now) { return s.query_local_node(std::move(then), now); });
  });
}

result<dispatched> handle::dispatch(mode how, budget limit) {
  if (auto ok = usable(core_); !ok && !core_) {
    return fail(ok.error());
  }
  if (auto ok = runtime::check_single_shard(core_->on().options()); !ok) {
    return fail(ok.error());
  }
  return core_->on().dispatch(how, limit, core_.get());
}

handle_state handle::state() const noexcept {
  const auto state = core_ == nullptr ? handle_state::closed : core_->state();
  const bool final =
      state == handle_state::closed ||
      (state == handle_state::lost && (!core_->options().supervision.reconnect || core_->over()));
  return final || core_->on().alive() ? state : handle_state::closed;
}
std::uint32_t handle::local_node() const noexcept { return core_ == nullptr ? 0 : core_->local_node(); }
std::uint32_t handle::pid() const noexcept { return core_ == nullptr ? 0 : core_->pid(); }
std::string handle::group() const { return core_ == nullptr ? std::string() : core_->group(); }
std::uint64_t handle::id() const noexcept { return core_ == nullptr ? 0 : core_->id(); }
handle_stats handle::stats() const noexcept { return core_ == nullptr ? handle_stats{} : core_->stats(); }
void handle::set_context(void* context) noexcept {
  if (core_ != nullptr) {
    core_->context.store(context, std::memory_order_relaxed);
  }
}
void* handle::context() const noexcept {
  return core_ == nullptr ? nullptr : core_->context.load(std::memory_order_relaxed);
}

}  // namespace cpgring
