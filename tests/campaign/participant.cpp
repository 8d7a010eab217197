#include "campaign/participant.hpp"

#include <algorithm>
#include <cmath>
#include <thread>

#include <fmt/format.h>

#include "campaign/payload.hpp"

namespace cpgring::campaign {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t leases_max = 32;
constexpr auto drive_interval = 2ms;
// A supervised handle that was in a group rejoins by itself; one that was in none joins this long after
// ready.
constexpr auto ready_for_long = 200ms;

checker::event event_of(checker::event::kind what, const checker::message_id& id = {}) {
  return {what, id, 0, {}, {}, {}};
}

std::vector<checker::address> addresses(std::span<const member> list) {
  std::vector<checker::address> all;
  for (const member& one : list) {
    all.push_back({one.node_id, one.pid});
  }
  std::sort(all.begin(), all.end());  // the service's order is unspecified
  return all;
}

}  // namespace

participant::participant(engine& loop, participant_options options, std::uint64_t seed, complaint say)
    : loop_(loop),
      options_(std::move(options)),
      say_(std::move(say)),
      random_(seed),
      history_(options_.history, options_.spoil),
      life_(options_.first_life),
      last_due_(steady::now()),
      progress_(last_due_),
      state_since_(last_due_) {}

participant::~participant() { check_leases({}, true); }

steady::time_point participant::about(double ms) {
  return steady::now() +
         std::chrono::microseconds(static_cast<std::int64_t>(1000 * ms * (0.2 + 1.6 * chance())));
}

callbacks participant::calls() {
  callbacks c;
  c.on_message = [this](handle&, const message& m) { on_message(m); };
  c.on_view = [this](handle&, const view& v) { on_view(v); };
  c.on_state = [this](handle& self, const state_change& s) { on_state(self, s); };
  c.on_restored = [this](handle&, const restoration&) { on_restored(); };
  c.on_writable = [this](handle&) {
    const std::lock_guard guard(lock_);
    blocked_ = false;
    progress();
  };
  return c;
}

result<void> participant::open() {
  auto opened = loop_.open(options_.handle, calls());
  const std::lock_guard guard(lock_);
  if (!opened) {
    return fail(opened.error());
  }
  self_ = *opened;
  opened_ = true;
  progress();
  leave_at_ = about(options_.restless_ms);
  if (options_.drives_itself) {
    static_cast<void>(loop_.after(drive_interval, [this] { drive(); }));
  }
  return {};
}

// --- callbacks

void participant::on_message(const message& m) {
  const auto bytes = m.bytes();
  std::string wrong;
  const auto of = bytes.empty() ? std::nullopt : read_stamped(bytes, wrong);
  const checker::address sender{m.sender_node(), m.sender_pid()};
  bool sleeps = false;
  {
    const std::lock_guard guard(lock_);
    if (!bytes.empty() && !of) {
      say_("checksum", fmt::format("a message of {}:{}: {}", sender.node, sender.pid, wrong));
    } else if (of && of->sender != sender) {
      say_("sender", fmt::format("{}/{} of {}:{} came as one of {}:{}", of->id.sender, of->id.sequence,
                                 of->sender.node, of->sender.pid, sender.node, sender.pid));
    }
    if (state_ != handle_state::joined && state_ != handle_state::leaving) {
      say_("order of events", fmt::format("a message in state {}", to_string(state_)));
    }
    ++counts_.delivered;
    const bool own = of && sender == address_ && of->id.sender == life_;
    if (!history_.message(m.sequence(), of ? std::optional(of->id) : std::nullopt, own)) {
      say_("numbering", fmt::format("message number {} comes twice", m.sequence()));
    }
    auto& last_of_sender = last_number_of_[sender];
    const auto order = options_.handle.order;
    if ((order == ordering::by_handle && m.sequence() <= last_number_) ||
        (order == ordering::by_sender && m.sequence() <= last_of_sender)) {
      say_("order of callbacks", fmt::format("message number {} after {}, of this sender {}", m.sequence(),
                                             last_number_, last_of_sender));
    }
    last_number_ = std::max(last_number_, m.sequence());
    last_of_sender = std::max(last_of_sender, m.sequence());
    heard_.insert(sender);
    if (sender == address_ && bytes.empty() && empties_in_flight_ > 0) {
      --empties_in_flight_;
      progress();
    }
    if (of && sender == address_ && unconfirmed_.contains(of->id)) {
      numbers_of_own_[of->id] = m.sequence();
    }
    if (own) {
      back_ = std::max(back_, of->id.sequence + 1);
      ++back_since_finish_;
      progress();
    }
    sleeps = options_.slow > 0us && !quick_ && chance() < 0.01;
    if (!quick_ && leases_.size() < leases_max && chance() < options_.lease_share) {
      if (auto lent = m.retain()) {
        ++counts_.leases;
        leases_.push_back({std::move(*lent), checksum(bytes), about(chance() < 0.1 ? 300 : 10)});
      } else if (!(lent.error() == errc::overloaded)) {
        say_("lease", lent.error().message());
      }
    }
  }
  if (sleeps) {
    std::this_thread::sleep_for(options_.slow);
  }
}

void participant::on_view(const view& v) {
  const std::lock_guard guard(lock_);
  if (!history_.fence()) {
    say_("fence", fmt::format("view {} ahead of messages that came before it", v.number));
  }
  const std::uint64_t ring = v.ring.sequence == 0 ? 0 : v.ring.sequence * 65536 + v.ring.node_id;
  if (v.cause == view_cause::ring) {
    history_.write({checker::event::kind::ring, {}, ring, {}, {}, {}});
    return;
  }
  ++counts_.views;
  members_ = addresses(v.members);
  heard_.clear();
  history_.write({checker::event::kind::view, {}, ring, members_, addresses(v.joined), addresses(v.left)});
}

/// Starts a new life: messages in flight may have been ordered or not, so their numbers are not used again.
void participant::end_life() {
  ++life_;
  next_ = back_ = empties_in_flight_ = recorded_ = 0;
  joined_ = leaving_ = blocked_ = false;
  members_.clear();
  heard_.clear();
}

void participant::on_state(handle& self, const state_change& s) {
  const std::lock_guard guard(lock_);
  // A close drops the messages that several workers have not run yet.
  if (!history_.fence() && s.to != handle_state::closed) {
    say_("fence", fmt::format("state {} ahead of messages that came before it", to_string(s.to)));
  }
  progress();
  state_ = s.to;
  state_since_ = steady::now();
  switch (s.to) {
    case handle_state::ready: {
      address_ = {options_.node, self.pid()};
      if (self.local_node() != options_.node) {
        say_("node", fmt::format("this is node {}, the handle says {}", options_.node, self.local_node()));
      }
      if (!history_.begun()) {
        history_.begin(address_);
      }
      history_.restart();
      last_number_ = 0;
      last_number_of_.clear();
      break;
    }
    case handle_state::joined:
      joined_ = true;
      leave_at_ = about(options_.restless_ms);
      break;
    case handle_state::left:
      if (next_ != back_ || empties_in_flight_ != 0) {
        say_("self-delivery", fmt::format("life {} left its group in order, and of its {} messages {} have "
                                          "come back, {} empty ones not",
                                          life_, next_, back_, empties_in_flight_));
      }
      end_life();
      join_at_ = about(options_.away_ms);
      break;
    case handle_state::lost:
      ++counts_.losses;
      end_life();
      break;
    case handle_state::closed:
      if (s.cause != nullptr) {
        say_("closed", s.cause->message());
      }
      opened_ = false;
      history_.restart();
      end_life();
      if (history_.begun()) {
        history_.write(event_of(checker::event::kind::gap));
      }
      join_at_ = about(options_.away_ms);
      break;
    default: break;
  }
}

void participant::on_outcome(const checker::message_id& id, const multicast_outcome& outcome) {
  const std::lock_guard guard(lock_);
  progress();
  if (unconfirmed_.erase(id) == 0) {
    say_("confirmation", fmt::format("{}/{} was confirmed twice", id.sender, id.sequence));
  }
  const auto number = numbers_of_own_.find(id);
  switch (outcome.fate) {
    case multicast_fate::confirmed:
      ++counts_.confirmed;
      // A close drops message callbacks in flight, but not confirmations.
      if (number == numbers_of_own_.end() ? !leaving_ && !closing_ : number->second != outcome.sequence) {
        say_("confirmation", fmt::format("{}/{} was confirmed as message number {}, but delivered as {}",
                                         id.sender, id.sequence, outcome.sequence,
                                         number == numbers_of_own_.end() ? 0 : number->second));
      }
      break;
    case multicast_fate::unknown: ++counts_.unknown; break;
    case multicast_fate::not_sent:
      ++counts_.unsent;
      if (number != numbers_of_own_.end()) {
        say_("confirmation", fmt::format("{}/{} was reported as not sent, but delivered as {}", id.sender,
                                         id.sequence, number->second));
      }
      history_.write(event_of(checker::event::kind::unsent, id));
      if (id.sender == life_) {
        back_ = std::max(back_, id.sequence + 1);
      }
      break;
  }
  // A message may be queued over a loss that was not reported yet. It is then sent in the next life, with the
  // name of the previous one.
  const bool may_be_kept = options_.handle.supervision.queue_bytes != 0;
  if (outcome.fate != multicast_fate::not_sent && id.sender != life_ && !may_be_kept) {
    say_("confirmation", fmt::format("{}/{} is {} after the end of its life", id.sender, id.sequence,
                                     to_string(outcome.fate)));
  }
  if (number != numbers_of_own_.end()) {
    numbers_of_own_.erase(number);
  }
}

void participant::expect_all_told() {
  const std::lock_guard guard(lock_);
  if (!unconfirmed_.empty()) {
    say_("confirmation", fmt::format("{}/{} and {} more were never confirmed", unconfirmed_.begin()->sender,
                                     unconfirmed_.begin()->sequence, unconfirmed_.size() - 1));
  }
}

void participant::on_restored() {
  const std::lock_guard guard(lock_);
  if (history_.begun()) {
    history_.write(event_of(checker::event::kind::gap));
  }
}

// --- actions

std::size_t participant::next_size() {
  const double kind = chance();
  if (kind < 0.01) {
    return 0;
  }
  const std::size_t most = options_.message_max != 0 ? options_.message_max : self_.max_atomic_message();
  if (kind > 1 - options_.large_share) {
    return chance() < 0.2 ? most
                          : stamped_bytes_min + static_cast<std::size_t>(std::pow(
                                                    static_cast<double>(most - stamped_bytes_min), chance()));
  }
  return stamped_bytes_min + static_cast<std::size_t>(chance() * (chance() < 0.9 ? 200 : 2000));
}

bool participant::send_one() {
  const auto size = next_size();
  result<void> done;
  if (size == 0) {
    done = self_.multicast(std::string_view());
    empties_in_flight_ += done ? 1 : 0;
  } else {
    const checker::message_id id{life_, next_};
    // Recorded before it is sent: even if this process is killed now, other histories find its sender.
    if (recorded_ == next_) {
      history_.write(event_of(checker::event::kind::sent, id));
      ++recorded_;
    }
    if (options_.drives_itself && size <= self_.max_atomic_message() && chance() < 0.3) {
      auto room = self_.reserve(size);
      if (room) {
        write_stamped(room->bytes(), {id, address_});
        done = room->commit();
      } else {
        done = fail(room.error());
      }
    } else {
      std::vector<std::byte> bytes(size);
      write_stamped(bytes, {id, address_});
      if (chance() < options_.confirmed_share) {
        const auto deadline = chance() < 0.3 ? 200ms : 60000ms;
        unconfirmed_.insert(id);
        done = self_.multicast_confirmed(
            bytes, deadline, [this, id](const multicast_outcome& outcome) { on_outcome(id, outcome); });
        if (!done) {
          unconfirmed_.erase(id);
        }
      } else {
        done = self_.multicast(bytes);
      }
    }
    next_ += done ? 1 : 0;
  }
  if (done) {
    ++counts_.sent;
    return true;
  }
  ++counts_.refused;
  const auto& why = done.error();
  if (why == errc::try_again) {
    blocked_ = true;  // until on_writable
  } else if (!(why == errc::not_joined || why == errc::service_lost || why == errc::bad_handle ||
               why == errc::stopped)) {
    say_("multicast", why.message());
  }
  return false;
}

void participant::send_due(steady::time_point now) {
  due_ = std::min(due_ + options_.messages_a_second * std::chrono::duration<double>(now - last_due_).count(),
                  static_cast<double>(options_.in_flight_max));
  last_due_ = now;
  while (due_ >= 1 && joined_ && !leaving_ && sending_ && !blocked_ &&
         next_ - back_ + empties_in_flight_ < options_.in_flight_max) {
    if (!send_one()) {
      break;
    }
    due_ -= 1;
  }
}

void participant::drive() {
  const std::lock_guard guard(lock_);
  if (!opened_) {
    return;
  }
  {
    const auto together = loop_.batch();
    send_due(steady::now());
  }
  static_cast<void>(loop_.after(drive_interval, [this] { drive(); }));
}

void participant::move_on(steady::time_point now) {
  if (leaves_for_good_ && joined_ && !leaving_) {
    leaving_ = self_.leave().has_value();  // false: it was lost just now, and rejoins soon
    return;
  }
  if (joined_ && !leaving_ && !closing_ && options_.restless_ms > 0 && !quick_ && now > leave_at_) {
    leaving_ = true;
    if (chance() < 0.3) {
      self_.close();
    } else if (auto asked = self_.leave(); !asked) {
      leaving_ = false;  // it was lost just now; on_state follows
    }
  } else if (state_ == handle_state::left && !closing_ && now > join_at_) {
    join_at_ = now + 1s;
    static_cast<void>(self_.join(options_.handle.group));
  } else if (state_ == handle_state::ready && !closing_ && now > state_since_ + ready_for_long &&
             now > join_at_) {
    join_at_ = now + 1s;
    static_cast<void>(self_.join(options_.handle.group));
  }
}

void participant::check_leases(steady::time_point now, bool all) {
  std::erase_if(leases_, [&](kept& one) {
    if (!all && now < one.until) {
      return false;
    }
    const auto here = one.message.pin();
    if (checksum(here.bytes()) != one.sum) {
      say_("lease", fmt::format("the bytes of a message of {}:{} have changed", one.message.sender_node(),
                                one.message.sender_pid()));
    }
    return true;
  });
}

void participant::tick(steady::time_point now) {
  bool reopen = false;
  {
    const std::lock_guard guard(lock_);
    if (!options_.drives_itself) {
      send_due(now);
    }
    move_on(now);
    check_leases(now, false);
    reopen = state_ == handle_state::closed && !closing_ && now > join_at_;
    if (reopen) {
      state_ = handle_state::connecting;
    }
  }
  if (reopen) {
    if (auto opened = open(); !opened) {
      say_("open", opened.error().message());
    }
  }
}

void participant::finish(std::size_t members) {
  const std::lock_guard guard(lock_);
  quick_ = true;
  expected_ = members;
  back_since_finish_ = 0;
  heard_.clear();
}

bool participant::finished() {
  const std::lock_guard guard(lock_);
  if (!expected_ || !joined_ || leaving_ || back_since_finish_ < 3) {
    return false;
  }
  const auto heard = static_cast<std::size_t>(
      std::count_if(members_.begin(), members_.end(),
                    [this](const checker::address& one) { return heard_.contains(one); }));
  return heard == *expected_ && (options_.crowd || members_.size() == *expected_);
}

void participant::stop_sending() {
  const std::lock_guard guard(lock_);
  sending_ = false;
  quick_ = true;
  closing_ = true;
}

bool participant::idle() {
  const std::lock_guard guard(lock_);
  return !joined_ || leaving_ || (next_ == back_ && empties_in_flight_ == 0);
}

void participant::leave() {
  const std::lock_guard guard(lock_);
  leaves_for_good_ = true;
}

void participant::close() { self_.close(); }

/// True also for a handle whose service is lost: it is in no group that it could leave.
bool participant::left_or_away() {
  const std::lock_guard guard(lock_);
  return !leaving_ && !joined_;
}

bool participant::closed() {
  const std::lock_guard guard(lock_);
  return state_ == handle_state::closed || !opened_;
}

bool participant::hangs(steady::time_point now, steady::duration limit) {
  const std::lock_guard guard(lock_);
  return !closing_ && now - progress_ > limit;
}

void participant::excuse(steady::time_point now) {
  const std::lock_guard guard(lock_);
  progress_ = now;
}

bool participant::is_joined() {
  const std::lock_guard guard(lock_);
  return joined_;
}

std::string participant::describe() {
  const std::lock_guard guard(lock_);
  std::string members;
  for (const auto& one : members_) {
    members += fmt::format(" {}:{}{}", one.node, one.pid, heard_.contains(one) ? "" : "(silent)");
  }
  return fmt::format(
      "{}:{} in {}: {}{}{}{}, life {}, sent {}, back {}, {} empty, {} members of {}:{}; nothing came back "
      "for {} ms",
      address_.node, address_.pid, options_.handle.group, to_string(state_), blocked_ ? ", blocked" : "",
      leaving_ ? ", leaving" : "", sending_ ? "" : ", silent", life_, next_, back_, empties_in_flight_,
      members_.size(), expected_.value_or(0), members,
      std::chrono::duration_cast<std::chrono::milliseconds>(steady::now() - progress_).count());
}

participant::counts participant::so_far() {
  const std::lock_guard guard(lock_);
  return counts_;
}

}  // namespace cpgring::campaign
