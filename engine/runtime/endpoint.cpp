#include "runtime/endpoint.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "dispatch/deliver.hpp"
#include "ipc/connection.hpp"
#include "runtime/crew.hpp"
#include "runtime/endpoint_line.hpp"
#include "runtime/engine_core.hpp"

namespace cpgring::runtime {
namespace {

// A service whose backlog of 128 is full turns a connect away; it takes about 0.3 ms for each.
constexpr auto connect_retry = std::chrono::milliseconds(1);

cpg::session_options session_options_of(const handle_options& options, std::uint32_t pid) {
  return {options.max_message_size, pid, options.send_queue_bytes, options.large_message_max, options.control_deadline};
}

std::uint32_t pid_of(const handle_options& options) { return options.pid != 0 ? options.pid : static_cast<std::uint32_t>(::getpid()); }

}  // namespace

endpoint::endpoint(std::shared_ptr<engine_core> core, std::uint64_t id, handle_options options, callbacks calls)
    : core_(std::move(core)),
      id_(id),
      wishes_(std::make_shared<const wishes>(wishes{std::move(options), std::move(calls)})),
      options_(wishes_->options),
      calls_(wishes_->calls),
      face_(this),
      line_(options_.supervision.reconnect ? std::make_unique<line>() : nullptr),
      group_to_join_(options_.group),
      pid_(pid_of(options_)),
      session_(session_options_of(options_, pid_), core_->outbox_room()),
      pump_(*this, options_.retained_bytes_max, options_.lease_age_max),
      atomic_max_(session_.atomic_max()),
      desk_(pump_.leases().desk()) {}

endpoint::endpoint(std::shared_ptr<endpoint> face, std::string group, handle::completion joined)
    : core_(face->core_),
      id_(face->id_),
      wishes_(face->wishes_),
      options_(wishes_->options),
      calls_(wishes_->calls),
      keep_face_(std::move(face)),
      face_(keep_face_.get()),
      group_to_join_(std::move(group)),
      joined_(std::move(joined)),
      pid_(pid_of(options_)),
      session_(session_options_of(options_, pid_), core_->outbox_room()),
      pump_(*this, options_.retained_bytes_max, options_.lease_age_max),
      atomic_max_(session_.atomic_max()) {
  before_ = face_->stats();
}

endpoint::~endpoint() = default;

// --- any thread -------------------------------------------------------------------------------------------------------------

std::string endpoint::group() const {
  const std::lock_guard lock(group_lock_);
  return group_;
}

handle_stats endpoint::stats() const noexcept {
  if (face_ != this) {
    return face_->stats();
  }
  handle_stats s;
  s.messages = messages_.get();
  s.message_bytes = message_bytes_.get();
  s.views = view_count_.get();
  s.multicasts = multicasts_.get();
  s.multicast_bytes = multicast_bytes_.get();
  s.refused_not_writable = not_writable_.get();
  s.doorbells = doorbells_.get();
  s.pokes = pokes_.get();
  s.fragments = fragments_.get();
  s.aborted = aborted_.get();
  s.shm_bytes = shm_bytes_.get();
  {
    const std::lock_guard lock(group_lock_);
    s.leases = desk_->count();
    s.lease_bytes = desk_->bytes();
  }
  s.copied_out = copied_out_.get();
  s.copied_out_bytes = copied_out_bytes_.get();
  s.copied_out_now = copied_out_now_.get();
  s.ring_used = ring_used_.get();
  s.ring_used_max = ring_used_max_.get();
  s.oldest_age_ns = oldest_age_ns_.get();
  s.overloads = overloads_.get();
  return s;
}

result<void> endpoint::admit(std::size_t bytes, std::size_t payload) {
  if (payload > options_.large_message_max && payload > atomic_max_) {
    return fail(errc::too_big, fmt::format("a message of {} bytes is above large_message_max ({})", payload, options_.large_message_max));
  }
  // One message is always let in, however large, so that send_queue_bytes cannot forbid what large_message_max allows.
  const std::size_t before = queued_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  const std::size_t most =
      keeps_multicasts() ? std::min(options_.send_queue_bytes, options_.supervision.queue_bytes) : options_.send_queue_bytes;
  if (before != 0 && before + bytes > most) {
    queued_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    wants_writable();
    return fail(errc::try_again);
  }
  return {};
}

void endpoint::request_close() {
  if (core_->on_driver_thread()) {
    live().close_now();
    return;
  }
  // SYNC intake_full: stored before the core's flag, so that whoever sees that one finds this one too.
  close_requested_.store(true, std::memory_order_release);
  if (!core_->cross([me = shared_from_this()] { me->live().close_if_requested(); })) {
    core_->look_at_all();
  }
}

void endpoint::close_if_requested() {
  // SYNC intake_full: whatever the closing thread did before counts as done.
  if (face_->close_requested_.exchange(false, std::memory_order_acquire)) {
    close_now();
  }
}

void endpoint::look_at_name(std::string_view group) const {
  // A trailing NUL is usual (Pacemaker, pmxcfs). One inside makes stock daemons mix groups up when a node goes: they compare C strings
  // there.
  if (const auto at = group.find('\0'); at != std::string_view::npos && at + 1 < group.size()) {
    core_->log(log_level::warning,
               fmt::format("handle {}: its group name has a NUL byte inside; at a node's crash stock corosync tells only one "
                           "of the groups whose names agree up to it",
                           id_));
  }
}

void endpoint::look_at_crowd(std::size_t members) {
  constexpr std::size_t stock_members_max = 128;  // CPG_MEMBERS_MAX
  if (members > stock_members_max && core_->first_crowd()) {
    core_->log(log_level::warning,
               fmt::format("group '{}' has {} members: beyond {} from one node stock corosync corrupts its memory when that node goes, and "
                           "stock libcpg its callers'",
                           session_.group(), members, stock_members_max));
  }
}

// --- life -------------------------------------------------------------------------------------------------------------------

handle endpoint::self() { return handle(face_->shared_from_this()); }
base::time_point endpoint::now() const noexcept { return core_->now(); }
bool endpoint::goes_on() const noexcept { return !ended_ && !core_->stop_requested(); }

void endpoint::release_slot() {
  if (std::exchange(holds_slot_, false)) {
    core_->connect_done();
  }
}

void endpoint::begin_connect(base::time_point deadline) {
  holds_slot_ = true;
  connect_deadline_ = deadline;
  if (!group_to_join_.empty() && !join_asked_) {
    look_at_name(group_to_join_);
    auto outcome = session_.join(group_to_join_, std::exchange(joined_, {}), now());
    if (!outcome) {
      lose(outcome.error());
      return;
    }
    publish();
  }
  auto begun = ipc::handshake::begin(options_.service, options_.max_message_size, options_.prefault, options_.service_uid);
  if (!begun) {
    lose(begun.error());
    return;
  }
  handshake_.emplace(std::move(*begun));
  core_->reactor().schedule(*this, connect_deadline_);
  advance_handshake();
}

void endpoint::advance_handshake() {
  auto step = handshake_->advance();
  if (!step) {
    lose(step.error());
    return;
  }
  switch (*step) {
    case ipc::handshake::step::retry_connect: core_->reactor().schedule(*this, std::min(connect_deadline_, now() + connect_retry)); return;
    case ipc::handshake::step::wait_readable:
      watching_ = true;
      if (auto ok = core_->reactor().watch(*this, handshake_->fd()); !ok) {
        lose(ok.error());
      }
      return;
    case ipc::handshake::step::done: break;
  }
  auto connection = handshake_->finish();
  handshake_.reset();
  if (!connection) {
    lose(connection.error());
    return;
  }
  connected(std::move(*connection));
}

void endpoint::readable() {
  watching_ = false;
  advance_handshake();
}

void endpoint::connected(ipc::connection connection) {
  auto owned = std::make_unique<ipc::connection>(std::move(connection));
  face_->shm_bytes_.set(owned->shm_bytes());
  pump_.target({owned->events().semaphore_word(), owned->responses().semaphore_word(), owned->fd(), &owned->doorbells_read()});
  pump_.set_weight(options_.weight);
  session_.attach(std::move(owned), now());
  if (auto ok = core_->reactor().add(pump_); !ok) {
    lose(ok.error());
    return;
  }
  linked_ = true;
  if (core_->workers() != nullptr) {
    pump_.keep_books();
  }
  release_slot();
  count_result(session_.progress(now()));
  settle_changes();
}

void endpoint::unlink() {
  auto& reactor = core_->reactor();
  reactor.cancel(*this);
  if (std::exchange(watching_, false)) {
    reactor.unwatch(*this);
  }
  if (std::exchange(linked_, false)) {
    reactor.remove(pump_);
  }
  handshake_.reset();
  release_slot();
}

void endpoint::lose(error why) {
  if (ended_) {
    linger_over();
    return;
  }
  const bool refused = session_.connection() == nullptr, again = may_revive(why);
  const bool known = again && !heard_of_ && face_->revived_in_vain();  // a service that stays away is no news either
  const std::string what = fmt::format("{}{}", why.message(), again ? "; it will connect again" : "");
  core_->log_limited(known     ? log_level::debug
                     : refused ? log_level::warning
                               : log_level::error,
                     {"", fmt::format("losses on '{}': {}", options_.service, what)},
                     fmt::format("handle {} on '{}': {}", id_, options_.service, what));
  pump_.let_go_of_held();
  if (!again) {
    core_->note_loss(why, calls_.on_state != nullptr);
    end_line(why);
  }
  session_.lose(std::move(why));
  unlink();
  ended_ = true;
  if (again && !heard_of_) {  // one more attempt that failed is no news
    shown_ = false;
    std::erase_if(session_.notices, [](const cpg::notice& n) { return n.what == cpg::notice::kind::state; });
  } else {
    publish();
  }
  drop();
  hand_over_notices();
  core_->await_told(*this);
  if (again) {
    await_revival();
    return;
  }
  core_->retire(*this);
}

bool endpoint::lose_if_due() {
  if (!due_loss_) {
    return false;
  }
  lose(*std::exchange(due_loss_, std::nullopt));
  return true;
}

void endpoint::close_now(std::optional<error> cause) {
  if (ended_) {
    if (std::exchange(revival_due_, false)) {  // between two connections
      core_->reactor().cancel(*this);
      end_line(cause ? *cause : error(errc::closed));
      cpg::notice n;
      n.what = cpg::notice::kind::state;
      n.from = handle_state::lost;
      n.to = handle_state::closed;
      n.cause = std::move(cause);
      session_.notices.push_back(std::move(n));
      shown_ = false;
      face_->state_.store(handle_state::closed, std::memory_order_relaxed);
      hand_over_notices();
      core_->retire(*this);
    }
    return;
  }
  end_line(cause ? *cause : error(errc::closed));
  if (cause) {
    core_->log_limited(log_level::error, {"", fmt::format("handles were closed: {}", cause->message())},
                       fmt::format("handle {}: {}; it is being closed", id_, cause->message()));
    core_->note_loss(*cause, calls_.on_state != nullptr);
  }
  ended_ = true;
  no_more_calls();
  pump_.forget_callbacks();  // but for on_state(closed)
  pump_.let_go_of_held();
  session_.close(std::move(cause));
  publish();
  hand_over_notices();
  core_->await_told(*this);
  if (!linked_) {
    unlink();
    core_->retire(*this);
    return;
  }
  begin_linger();
}

/// The connection stays until the service has taken what was multicast.
void endpoint::begin_linger() {
  lingering_ = true;
  linger_until_ = now() + core_->options().close_deadline;
  session_.finalize(linger_until_, [this] {
    finalize_answered_ = true;
    core_->linger_done(*this);
  });
  count_result(session_.progress(now()));
  schedule();
  mark_ready();  // the answer is looked for in turns
}

/// The service has taken everything, or never will.
void endpoint::linger_over() {
  if (!std::exchange(lingering_, false)) {
    return;
  }
  unlink();
  publish();
  drop();
  core_->retire(*this);
}

void endpoint::drop() noexcept {
  if (!pump_.alone()) {
    drop_due_ = true;  // workers still read in its rings
    return;
  }
  if (auto* connection = session_.connection()) {
    connection->abandon_files();  // does nothing unless the service has gone
    connection->hang_up();
    pump_.drop_copies();
    pump_.let_go_of_leases(session_.give_up_connection());
  }
}

void endpoint::forget_requests() {
  joined_ = {};
  session_.close(std::nullopt);
  session_.notices.clear();
  session_.answers.clear();
  pump_.forget_workers();
}

void endpoint::begin_blocking_close(base::time_point deadline) {
  if (session_.connection() == nullptr) {
    return;
  }
  if (!ended_) {
    ended_ = true;
    session_.close(std::nullopt, cpg::session::awaited_later::yes);
    session_.notices.clear();
    session_.answers.clear();
    lingering_ = true;
    session_.finalize(deadline, [this] { lingering_ = false; });
  }
}

void endpoint::count_unsent(shutdown_report& report) const {
  session_.each_unsent([&report](std::size_t bytes) {
    ++report.unsent;
    report.unsent_bytes += bytes;
  });
  if (face_->line_) {
    for (const auto& one : face_->line_->kept) {
      ++report.unsent;
      report.unsent_bytes += one.bytes.size();
    }
  }
}

void endpoint::tell_untold() {
  drop_all_kept(error(errc::stopped));
  session_.awaits().each_open([this](cpg::awaited& one) { session_.awaits().fail(one, error(errc::stopped)); });
  session_.awaits().each_untold([this](cpg::awaited& one) {
    if (auto thrown = dispatch::deliver([&one] { one.tell(); })) {
      core_->log(log_level::error, fmt::format("handle {}: telling of a multicast at the end: {}", id_, thrown->message()));
    }
  });
}

bool endpoint::blocking_close_done() {
  auto* connection = session_.connection();
  if (connection == nullptr || !lingering_) {
    return true;
  }
  if (!pump_.discard_events()) {
    return true;
  }
  if (!session_.progress(base::clock::now()) || finalize_answered_ || connection->hung_up()) {
    lingering_ = false;
  }
  return !lingering_;
}

// --- workers ----------------------------------------------------------------------------------------------------------------

std::uint32_t endpoint::home_worker() const noexcept {
  // Reactors take handles in turn: the division leaves each with numbers that follow one another.
  return static_cast<std::uint32_t>(id_ / core_->options().reactors % core_->workers()->workers());
}

bool endpoint::worker_may_call() const noexcept { return !no_more_calls_.load(std::memory_order_relaxed) && !core_->stop_requested(); }

void endpoint::worker_done() {
  if (!pump_.alone()) {
    return;
  }
  if (lingering_) {
    mark_ready();  // what the service still delivers is thrown away from here on
  }
  if (std::exchange(drop_due_, false)) {
    drop();
  }
  pump_.send_last_errands();
}

// --- progress ---------------------------------------------------------------------------------------------------------------

void endpoint::publish() {
  if (!session_.awaits().empty()) [[unlikely]] {
    if (const std::size_t freed = session_.awaits().sweep()) {
      written(freed);
    }
  }
  if (!shown_) {
    return;
  }
  endpoint& face = *face_;
  const auto& counts = session_.counts();
  face.multicasts_.set(before_.multicasts + counts.multicasts);
  face.multicast_bytes_.set(before_.multicast_bytes + counts.multicast_bytes);
  face.not_writable_.set(before_.refused_not_writable + counts.not_writable);
  face.doorbells_.set(before_.doorbells + counts.doorbells);
  face.pokes_.set(before_.pokes + counts.pokes);
  if (pump_.keeps_books()) {
    face.copied_out_.set(before_.copied_out + pump_.copied_out());
    face.copied_out_bytes_.set(before_.copied_out_bytes + pump_.copied_out_bytes());
    face.copied_out_now_.set(pump_.copies_open());
    const auto& look = pump_.last_look();
    face.ring_used_.set(look.used);
    face.ring_used_max_.set(std::max<std::uint64_t>(before_.ring_used_max, look.used_max));
    face.oldest_age_ns_.set(static_cast<std::uint64_t>(look.oldest_age.count()));
    face.overloads_.set(before_.overloads + look.overloads);
  }
  face.local_node_.store(session_.local_node(), std::memory_order_relaxed);
  if (const auto state = session_.state(); face.state_.load(std::memory_order_relaxed) != state) {
    {
      const std::lock_guard lock(face.group_lock_);
      face.group_ = session_.group();
    }
    face.state_.store(state, std::memory_order_relaxed);
    if (supervised()) {
      look_at_state();
    }
  }
  if (!ended_ && linked_) {
    schedule();
  }
}

void endpoint::schedule() {
  pump_.expects_answers(session_.expects_answers());
  auto at = session_.next_deadline(now());
  const auto at_the_latest = [&at](base::time_point limit) { at = at ? std::min(*at, limit) : limit; };
  if (lingering_) {
    at_the_latest(linger_until_);
  } else if (session_.state() == handle_state::connecting) {
    at_the_latest(connect_deadline_);
  } else if (refused_again()) {
    at_the_latest(now());
  }
  if (supervised() && face_->line_->kept_until && !lingering_) {
    at_the_latest(*face_->line_->kept_until);
  }
  if (pump_.keeps_books()) {
    if (pump_.stuck()) {
      at_the_latest(now() + pump::look_interval);
    }
    for (const auto due : {pump_.leases().due(), pump_.return_due()}) {
      if (due) {
        at_the_latest(*due);
      }
    }
  }
  if (at) {
    core_->reactor().schedule(*this, *at);
  } else {
    core_->reactor().cancel(*this);
  }
}

void endpoint::expired() {
  if (revival_due_) {
    revive();
    return;
  }
  if (supervised() && !lingering_) {
    expire_kept();
  }
  if (linked_) {
    pump_.look_again();
  }
  if (lingering_) {
    count_result(session_.tick(now()));
    if (lingering_ && now() >= linger_until_) {
      linger_over();
    } else if (lingering_) {
      schedule();
    }
    return;
  }
  if (!linked_) {
    if (now() >= connect_deadline_) {
      lose(error(errc::timeout, fmt::format("service '{}' took the connection but did not answer within {} ms; is it stopped?",
                                            options_.service, options_.connect_deadline.count())));
    } else if (handshake_) {
      core_->reactor().schedule(*this, connect_deadline_);
      advance_handshake();
    }
    return;
  }
  if (session_.state() == handle_state::connecting && now() >= connect_deadline_) {
    lose(error(errc::timeout, fmt::format("service '{}' accepted but answered nothing within {} ms; is it stopped or in a long sync phase?",
                                          options_.service, options_.connect_deadline.count())));
    return;
  }
  if (refused_again()) {
    const error& why = *session_.join_refusal();
    lose(error(why.code, fmt::format("joining '{}' again: {}", group_to_join_, why.message())));
    return;
  }
  if (auto ok = session_.tick(now()); !ok) {
    lose(ok.error());
    return;
  }
  settle_changes();
}

}  // namespace cpgring::runtime
