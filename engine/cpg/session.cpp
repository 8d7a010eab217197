#include "cpg/session.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cpgring::cpg {

session::session(const session_options& options, send_queue& queue)
    : membership_(options.pid, options.control_deadline, line_, notices),
      multicaster_(options.control_deadline, queue, line_, membership_, notices),
      queries_(options.control_deadline, line_, answers),
      assembler_(options.large_message_max, 2 * options.large_message_max) {}

// --- life

void session::attach(std::unique_ptr<ipc::connection> connection, base::time_point now) {
  changed_ = true;
  line_.set_now(now);
  line_.attach(std::move(connection));
  membership_.begin();
}

void session::lose(error why, bool keep_unwritten) {
  changed_ = true;
  queries_.stop();
  multicaster_.lose(why, keep_unwritten);
  membership_.fail_requests(why);
  line_.fail_all(why);
  queries_.fail_all(why);
  answers_to_notices(answers.size());  // the change of state is the last notice
  membership_.end(handle_state::lost, std::move(why));
}

void session::close(std::optional<error> cause, open_confirmations open) {
  changed_ = true;
  const error why = cause ? *cause : error(errc::closed);
  queries_.stop();
  membership_.fail_requests(why);
  line_.give_up(why);
  queries_.fail_all(why);
  multicaster_.close(why, open);
  answers_to_notices(answers.size());
  membership_.end(handle_state::closed, std::move(cause));
}

void session::finalize(base::time_point deadline, function<void()> done) {
  changed_ = true;
  multicaster_.abandon();
  if (connection() == nullptr) {
    done();
    return;
  }
  membership_.begin_finalize();
  line_.ask(encode_finalize(), deadline, [done = std::move(done)](const result<answer_bytes>&) { done(); });
}

// --- requests

result<void> session::join(std::string_view group, completion<void> done, base::time_point now) {
  changed_ = true;
  line_.set_now(now);
  return membership_.join(group, std::move(done));
}

result<void> session::leave(completion<void> done, base::time_point now) {
  changed_ = true;
  line_.set_now(now);
  auto asked = membership_.leave(std::move(done));
  return asked ? tick(now) : asked;
}

result<void> session::query_members(std::string_view group, completion<std::vector<member_address>> done,
                                    base::time_point now) {
  changed_ = true;
  line_.set_now(now);
  auto ok = membership_.usable();
  return ok ? queries_.members(group, std::move(done)) : ok;
}

result<void> session::query_groups(completion<std::vector<group_entry>> done, base::time_point now) {
  changed_ = true;
  line_.set_now(now);
  auto ok = membership_.usable();
  if (ok) {
    queries_.groups(std::move(done));
  }
  return ok;
}

result<void> session::query_local_node(completion<std::uint32_t> done, base::time_point now) {
  changed_ = true;
  line_.set_now(now);
  auto ok = membership_.usable();
  if (ok) {
    queries_.local_node(std::move(done));
  }
  return ok;
}

result<void> session::flush(completion<void> done, base::time_point deadline) {
  changed_ = true;
  auto ok = membership_.usable();
  if (ok) {
    queries_.flush(std::move(done), deadline);
  }
  return ok;
}

void session::poke() {
  changed_ = true;
  if (!membership_.finalizing()) {
    line_.poke();
  }
}

// --- progress

void session::answers_to_notices(std::size_t most) {
  const auto end = answers.begin() + static_cast<std::ptrdiff_t>(std::min(most, answers.size()));
  std::move(answers.begin(), end, std::back_inserter(notices));
  answers.erase(answers.begin(), end);
}

result<void> session::progress(base::time_point now) {
  changed_ = true;
  line_.set_now(now);
  if (connection() == nullptr) {
    return {};
  }
  if (auto ok = line_.take_answers(); !ok) {
    return ok;
  }
  if (auto ok = line_.write(multicaster_); !ok) {
    return ok;
  }
  multicaster_.notify_writable();
  return {};
}

result<void> session::tick(base::time_point now) {
  line_.set_now(now);
  queries_.expire(now);  // before the line, whose completions may begin waiting queries
  line_.expire(now);
  multicaster_.expire(now);
  membership_.tick(now);
  return progress(now);
}

std::optional<base::time_point> session::earliest_deadline(base::time_point now) const noexcept {
  std::optional<base::time_point> earliest;
  const auto consider = [&earliest](std::optional<base::time_point> at) {
    if (at && (!earliest || *at < *earliest)) {
      earliest = at;
    }
  };
  consider(line_.next_deadline());
  consider(membership_.next_deadline());
  consider(multicaster_.next_deadline());
  consider(queries_.next_deadline());
  if (connection() != nullptr && (multicaster_.blocked_by_flow_control() || line_.questions_blocked())) {
    consider(now + writable_pause);
  }
  return earliest;
}

// --- events

const view* session::configuration_changed(const configuration& change, std::vector<cpg::aborted>& torn) {
  changed_ = true;
  const auto [shown, own] = membership_.apply(change);
  if (shown == nullptr) {
    return nullptr;
  }
  for (const member& gone : shown->left) {
    if (auto half = assembler_.left(gone.node_id, gone.pid)) {
      torn.push_back(std::move(*half));
    }
  }
  if (own == membership::own_change::left) {
    multicaster_.leave(error(errc::not_joined, "the handle has left its group"));
  }
  membership_.enter(own);
  if (own == membership::own_change::joined) {
    multicaster_.begin_draining();
  }
  return shown;
}

}  // namespace cpgring::cpg
