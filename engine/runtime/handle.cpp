// Station C1 of 7: from the caller, to dispatch/intake_queue.
//
// Every call of a handle: on the engine's thread it goes straight to the session, from any other thread through the intake queue.
#include <cpgring/handle.hpp>

#include <string>
#include <utility>

#include <fmt/format.h>

#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"
#include "runtime/fleet.hpp"
#include "runtime/owed_call.hpp"

namespace cpgring {
namespace {

using runtime::endpoint;
using endpoint_ptr = std::shared_ptr<endpoint>;

bool ended(handle_state state) noexcept { return state == handle_state::closed || state == handle_state::lost; }

result<void> usable(const endpoint_ptr& of) {
  if (of == nullptr) {
    return fail(errc::bad_handle, "the handle object refers to nothing");
  }
  if (auto ok = of->core().alive(); !ok) {
    return ok;
  }
  if (of->supervised() && of->state() == handle_state::lost && !of->over()) {
    return endpoint::away();
  }
  if (ended(of->state())) {
    return fail(errc::bad_handle, fmt::format("the handle is {}", to_string(of->state())));
  }
  return {};
}

/// Here when this is the engine's thread, else there; the outcome of what happens there can only come through `done`.
template <class Outcome, class Request>
result<void> ask(const endpoint_ptr& of, std::function<void(Outcome)> done, Request request) {
  if (auto ok = usable(of); !ok) {
    return ok;
  }
  std::shared_ptr<runtime::owed_call<Outcome>> owed;
  std::function<void(Outcome)> once;
  if (done) {
    auto slot = of->requests().take();
    if (!slot) {
      return fail(errc::try_again, fmt::format("{} requests of this handle have had no answer yet: wait for one", handle::requests_max));
    }
    owed = std::make_shared<runtime::owed_call<Outcome>>(of->core(), std::move(done), std::move(slot));
    once = [owed](Outcome outcome) { owed->call(std::move(outcome)); };
  }
  result<void> asked;
  if (of->core().on_driver_thread()) {
    asked = request(of->live(), std::move(once));
  } else {
    asked = of->core().cross([of, once = std::move(once), request = std::move(request)]() mutable {
      auto told = once;
      if (auto outcome = request(of->live(), std::move(once)); !outcome && told) {
        of->core().add_task(of->id(), [told = std::move(told), why = outcome.error()] { told(fail(why)); });
      }
    });
  }
  if (!asked && owed) {
    owed->forget();
  }
  return asked;
}

/// A question is only asked for its answer.
template <class Outcome, class Request>
result<void> ask_for_answer(const endpoint_ptr& of, std::function<void(Outcome)> done, Request request) {
  return done ? ask(of, std::move(done), std::move(request)) : fail(errc::invalid_param, "there is nobody to tell the answer");
}

}  // namespace

// --- reservation --------------------------------------------------------------------------------------------------------------

reservation::reservation(std::shared_ptr<endpoint> owner, std::span<std::byte> bytes) noexcept : owner_(std::move(owner)), bytes_(bytes) {}
reservation::reservation(reservation&& other) noexcept : owner_(std::move(other.owner_)), bytes_(std::exchange(other.bytes_, {})) {}
reservation& reservation::operator=(reservation&& other) noexcept {
  if (this != &other) {
    if (owner_) {
      owner_->abandon();
    }
    owner_ = std::move(other.owner_);
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}
reservation::~reservation() {
  if (owner_) {
    owner_->abandon();
  }
}
result<void> reservation::commit() { return commit(bytes_.size()); }
result<void> reservation::commit(std::size_t size) {
  if (owner_ == nullptr) {
    return fail(errc::bad_handle, "the reservation was committed already");
  }
  if (size > bytes_.size()) {
    return fail(errc::too_big, fmt::format("commit of {} bytes into a reservation of {}", size, bytes_.size()));
  }
  bytes_ = {};
  return std::exchange(owner_, nullptr)->commit(size);
}

// --- handle -------------------------------------------------------------------------------------------------------------------

result<void> handle::join(std::string_view group, completion done) {
  if (group.empty()) {
    return fail(errc::invalid_param, "a group name has 1 to 128 bytes; the empty one would leave ghost members behind");
  }
  if (group.size() > group_name_max) {
    return fail(errc::name_too_long, fmt::format("a group name has 1 to {} bytes, this one has {}", group_name_max, group.size()));
  }
  return ask(endpoint_, std::move(done),
             [name = std::string(group)](endpoint& to, completion then) { return to.join(name, std::move(then)); });
}

result<void> handle::leave(completion done) {
  return ask(endpoint_, std::move(done), [](endpoint& to, completion then) { return to.leave(std::move(then)); });
}

void handle::close() {
  if (endpoint_ == nullptr || !endpoint_->core().alive()) {
    return;
  }
  endpoint_->request_close();
}

result<void> handle::multicast(std::span<const std::byte> payload) {
  const std::span<const std::byte> one[] = {payload};
  return multicast(one);
}

result<void> handle::multicast(std::span<const std::span<const std::byte>> pieces) {
  if (auto ok = usable(endpoint_); !ok && (endpoint_ == nullptr || ok.error() != errc::service_lost || !endpoint_->keeps_multicasts())) {
    return ok;
  }
  std::size_t bytes = 0;
  for (const auto& piece : pieces) {
    bytes += piece.size();
  }
  auto& core = endpoint_->core();
  if (core.on_driver_thread()) {
    return endpoint_->live().multicast(pieces, bytes);
  }
  if (endpoint_->state() != handle_state::joined && !endpoint_->keeps_multicasts()) {
    return fail(errc::not_joined);
  }
  return core.cross_multicast(*endpoint_, pieces, bytes);
}

result<void> handle::multicast_confirmed(std::span<const std::byte> payload, std::chrono::milliseconds deadline, confirmation done) {
  if (auto ok = usable(endpoint_); !ok && (endpoint_ == nullptr || ok.error() != errc::service_lost || !endpoint_->keeps_multicasts())) {
    return ok;
  }
  if (deadline.count() <= 0 || deadline > confirmation_deadline_max) {
    return fail(errc::invalid_param,
                fmt::format("the deadline is {} ms, it must be 1 to {}", deadline.count(), confirmation_deadline_max.count()));
  }
  if (!done) {
    return fail(errc::invalid_param, "there is nobody to tell: use multicast()");
  }
  auto& core = endpoint_->core();
  const std::span<const std::byte> one[] = {payload};
  const bool here = core.on_driver_thread();
  if (!here && endpoint_->state() != handle_state::joined && !endpoint_->keeps_multicasts()) {
    return fail(errc::not_joined);
  }
  if (auto ok = endpoint_->admit(payload.size() + endpoint::confirmation_overhead, payload.size()); !ok) {
    return ok;
  }
  const auto until = base::clock::now() + deadline;
  auto asked = here ? endpoint_->live().multicast_confirmed(one, payload.size(), until, std::move(done))
                    : core.cross_confirmed(*endpoint_, payload, until, std::move(done));
  if (!asked) {
    endpoint_->unadmit(payload.size() + endpoint::confirmation_overhead);
  }
  return asked;
}

result<reservation> handle::reserve(std::size_t size) {
  if (auto ok = usable(endpoint_); !ok) {
    return fail(ok.error());
  }
  if (!endpoint_->core().on_driver_thread()) {
    return fail(errc::wrong_thread, "reserve() writes into the request ring itself: only the thread that drives the engine may");
  }
  auto& live = endpoint_->live();
  auto room = live.reserve(size);
  if (!room) {
    return fail(room.error());
  }
  return reservation(live.shared_from_this(), *room);
}

std::size_t handle::max_atomic_message() const noexcept { return endpoint_ == nullptr ? 0 : endpoint_->atomic_max(); }

result<void> handle::query_members(std::string_view group, answer<std::vector<member>> done) {
  return ask_for_answer(endpoint_, std::move(done), [name = std::string(group)](endpoint& to, answer<std::vector<member>> then) {
    return to.request([&](cpg::session& s, base::time_point now) { return s.query_members(name, std::move(then), now); });
  });
}

result<void> handle::query_groups(answer<std::vector<group_entry>> done) {
  return ask_for_answer(endpoint_, std::move(done), [](endpoint& to, answer<std::vector<group_entry>> then) {
    return to.request([&](cpg::session& s, base::time_point now) { return s.query_groups(std::move(then), now); });
  });
}

result<void> handle::query_local_node(answer<std::uint32_t> done) {
  return ask_for_answer(endpoint_, std::move(done), [](endpoint& to, answer<std::uint32_t> then) {
    return to.request([&](cpg::session& s, base::time_point now) { return s.query_local_node(std::move(then), now); });
  });
}

result<dispatched> handle::dispatch(mode how, budget limit) {
  if (auto ok = usable(endpoint_); !ok && !endpoint_) {
    return fail(ok.error());
  }
  if (auto ok = runtime::drivable_by_hand(endpoint_->core().options()); !ok) {
    return fail(ok.error());
  }
  return endpoint_->core().dispatch(how, limit, endpoint_.get());
}

handle_state handle::state() const noexcept {
  const auto state = endpoint_ == nullptr ? handle_state::closed : endpoint_->state();
  const bool final = state == handle_state::closed || (state == handle_state::lost && (!endpoint_->supervised() || endpoint_->over()));
  return final || endpoint_->core().alive() ? state : handle_state::closed;
}
std::uint32_t handle::local_node() const noexcept { return endpoint_ == nullptr ? 0 : endpoint_->local_node(); }
std::uint32_t handle::pid() const noexcept { return endpoint_ == nullptr ? 0 : endpoint_->pid(); }
std::string handle::group() const { return endpoint_ == nullptr ? std::string() : endpoint_->group(); }
std::uint64_t handle::id() const noexcept { return endpoint_ == nullptr ? 0 : endpoint_->id(); }
handle_stats handle::stats() const noexcept { return endpoint_ == nullptr ? handle_stats{} : endpoint_->stats(); }
void handle::set_context(void* context) noexcept {
  if (endpoint_ != nullptr) {
    endpoint_->context.store(context, std::memory_order_relaxed);
  }
}
void* handle::context() const noexcept { return endpoint_ == nullptr ? nullptr : endpoint_->context.load(std::memory_order_relaxed); }

}  // namespace cpgring
