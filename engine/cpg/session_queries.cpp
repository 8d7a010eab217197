// What a session asks without changing anything: members of a group, all groups, the local node.
#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "cpg/answer.hpp"
#include "cpg/encode.hpp"
#include "cpg/session.hpp"

namespace cpgring::cpg {
namespace {

template <class T>
notice settled(const handle::answer<T>& done, result<T> value) {
  notice n;
  n.settle = [done, value = std::move(value)] { done(value); };
  return n;
}

}  // namespace

void session::answers_to_notices(std::size_t most) {
  const auto end = answers.begin() + static_cast<std::ptrdiff_t>(std::min(most, answers.size()));
  std::move(answers.begin(), end, std::back_inserter(notices));
  answers.erase(answers.begin(), end);
}

/// No more than a few are with the service at a time: the ring is there for multicasts too, and these are refused while it is full.
void session::question(std::vector<std::byte> request, std::uint32_t response_id, std::uint32_t response_size, base::time_point deadline,
                       settle_function settle) {
  entry one = request_entry(std::move(request), response_id, response_size, deadline, std::move(settle));
  one.what = entry::kind::question;
  one.number = in_line_;
  questions_.push_back(std::move(one));
}

result<void> session::write_questions() {
  constexpr std::uint32_t with_the_service_max = 8;
  while (!questions_.empty() && questions_out_ < with_the_service_max && !has_reservation_ &&
         connection_->writable() == ipc::writable::yes) {
    entry& front = questions_.front();
    if (!outbox_.empty() && outbox_.front().number <= front.number) {
      break;
    }
    if (!write_request(front)) {
      break;
    }
    questions_.pop_front();
  }
  return corks_ == 0 ? flush() : result<void>{};
}

void session::expire_questions(base::time_point now) {
  std::erase_if(questions_, [now](entry& one) {
    if (one.deadline > now) {
      return false;
    }
    if (one.settle) {
      one.settle(fail(errc::timeout, "the service held requests back until the deadline"));
    }
    return true;
  });
}

void session::give_up_questions(const error& why) {
  for (auto& one : std::exchange(questions_, {})) {
    if (one.settle) {
      one.settle(fail(why));
    }
  }
}

result<void> session::query_members(std::string_view group, handle::answer<std::vector<member>> done, base::time_point now) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  if (group.empty() || group.size() > wire::name_text_max) {
    return fail(errc::invalid_param, fmt::format("a group name has 1 to 128 bytes, this one has {}", group.size()));
  }
  namespace w = wire::membership_response;
  auto request = make_request(wire::request::membership, wire::membership_request::bytes);
  put_name(request.data() + wire::membership_request::name, group);
  question(std::move(request), static_cast<std::uint32_t>(wire::response::membership), w::bytes, now + options_.control_deadline,
           [this, done = std::move(done)](const result<answer_bytes>& answer) {
             if (!answer) {
               answers.push_back(settled<std::vector<member>>(done, fail(answer.error())));
               return;
             }
             if (answer->size() < w::bytes) {
               answers.push_back(settled<std::vector<member>>(done, fail(service_error(answer_error(*answer), "a membership query"))));
               return;
             }
             const std::uint32_t count = std::min<std::uint32_t>(base::read_once_u32(answer->data() + w::count), w::members_max);
             std::vector<member> members(count);
             for (std::uint32_t i = 0; i < count; ++i) {
               const std::byte* at = answer->data() + w::members + std::size_t{i} * wire::address_bytes;
               members[i].node_id = base::read_once_u32(at + wire::address_node);
               members[i].pid = base::read_once_u32(at + wire::address_pid);
             }
             answers.push_back(settled<std::vector<member>>(done, std::move(members)));
           });
  return {};
}

result<void> session::query_local_node(handle::answer<std::uint32_t> done, base::time_point now) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  question(make_request(wire::request::local_get, wire::local_get_request::bytes), static_cast<std::uint32_t>(wire::response::local_get),
           wire::local_get_response::bytes, now + options_.control_deadline,
           [this, done = std::move(done)](const result<answer_bytes>& answer) {
             if (!answer) {
               answers.push_back(settled<std::uint32_t>(done, fail(answer.error())));
             } else if (answer->size() < wire::local_get_response::bytes) {
               answers.push_back(settled<std::uint32_t>(done, fail(service_error(answer_error(*answer), "the local node id"))));
             } else {
               answers.push_back(settled<std::uint32_t>(done, base::read_once_u32(answer->data() + wire::local_get_response::node)));
             }
           });
  return {};
}

/// One walk over all groups: initialize, next ... until the end, finalize; one request at a time.
struct iteration {
  handle::answer<std::vector<group_entry>> done;
  base::time_point deadline;
  std::uint64_t service_handle = 0;
  std::vector<group_entry> found;
};

result<void> session::query_groups(handle::answer<std::vector<group_entry>> done, base::time_point now) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  namespace w = wire::iteration_initialize_request;
  auto walk = std::make_shared<iteration>();
  walk->done = std::move(done);
  walk->deadline = now + options_.control_deadline;
  auto request = make_request(wire::request::iteration_initialize, w::bytes);
  put(request.data() + w::type, w::all);
  question(std::move(request), static_cast<std::uint32_t>(wire::response::iteration_initialize), wire::iteration_initialize_response::bytes,
           walk->deadline, [this, walk](const result<answer_bytes>& answer) {
             if (!answer || answer_error(*answer) != wire::status::ok || answer->size() < wire::iteration_initialize_response::bytes) {
               const error why = answer ? service_error(answer_error(*answer), "to list groups") : answer.error();
               answers.push_back(settled<std::vector<group_entry>>(walk->done, fail(why)));
               return;
             }
             walk->service_handle = base::read_once_u64(answer->data() + wire::iteration_initialize_response::handle);
             iterate(walk);
           });
  return {};
}

void session::iterate(const std::shared_ptr<iteration>& walk) {
  auto request = make_request(wire::request::iteration_next, wire::iteration_next_request::bytes);
  put(request.data() + wire::iteration_next_request::handle, walk->service_handle);
  question(std::move(request), static_cast<std::uint32_t>(wire::response::iteration_next), wire::iteration_next_response::bytes,
           walk->deadline, [this, walk](const result<answer_bytes>& answer) {
             namespace w = wire::iteration_next_response;
             if (answer && answer_error(*answer) == wire::status::ok && answer->size() >= w::bytes) {
               const std::uint32_t length = std::min<std::uint32_t>(base::read_once_u32(answer->data() + w::name), wire::name_text_max);
               walk->found.push_back({std::string(reinterpret_cast<const char*>(answer->data()) + w::name + wire::name_text, length),
                                      base::read_once_u32(answer->data() + w::node), base::read_once_u32(answer->data() + w::pid)});
               iterate(walk);
               return;
             }
             auto finish = make_request(wire::request::iteration_finalize, wire::iteration_finalize_request::bytes);
             put(finish.data() + wire::iteration_finalize_request::handle, walk->service_handle);
             if (answer) {
               question(std::move(finish), static_cast<std::uint32_t>(wire::response::iteration_finalize), wire::response_header_bytes,
                        walk->deadline, nullptr);
             }
             if (answer && answer_error(*answer) == static_cast<std::int32_t>(errc::no_sections)) {
               answers.push_back(settled<std::vector<group_entry>>(walk->done, std::move(walk->found)));
             } else {
               const error why = answer ? service_error(answer_error(*answer), "to go on listing groups") : answer.error();
               answers.push_back(settled<std::vector<group_entry>>(walk->done, fail(why)));
             }
           });
}

}  // namespace cpgring::cpg
