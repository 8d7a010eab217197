// What a session asks without changing anything: members of a group, all groups, the local node.
#include <algorithm>
#include <iterator>
#include <memory>
#include <tuple>
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
  std::vector<entry> expired;  // apart: what settles them may ask
  const auto take = [&](auto& line) {
    std::erase_if(line, [&](entry& one) {
      if (one.deadline > now) {
        return false;
      }
      expired.push_back(std::move(one));
      return true;
    });
  };
  take(questions_);
  walks_out_ -=
      static_cast<std::uint32_t>(std::count_if(expired.begin(), expired.end(), [](const entry& one) { return one.late != nullptr; }));
  take(walks_);
  for (entry& one : expired) {
    if (one.settle) {
      one.settle(fail(errc::timeout, "the service held requests back until the deadline"));
    }
  }
  start_walks();
}

void session::give_up_questions(const error& why) {
  auto unanswered = std::exchange(questions_, {});
  std::move(walks_.begin(), walks_.end(), std::back_inserter(unanswered));
  walks_.clear();
  for (auto& one : unanswered) {
    if (one.settle) {
      one.settle(fail(why));
    }
  }
}

// --- walks --------------------------------------------------------------------------------------------------------------------

// Far more than a cluster has: a service that goes on without an end does not take our memory.
constexpr std::size_t walk_members_max = 262144;

/// One walk over groups: initialize, next ... until the end, finalize; one request at a time.
struct iteration {
  const char* what;
  base::time_point deadline;
  std::function<bool(std::string_view group, member who)> take;  // false: not what was asked for
  std::function<void(result<void>)> end;
  std::uint64_t service_handle = 0;
  std::size_t taken = 0;
};

/// `group`: with type one_group. At its end, good or bad, `how->end` is called once.
void session::walk(std::uint32_t type, std::string_view group, const std::shared_ptr<iteration>& how) {
  namespace w = wire::iteration_initialize_request;
  namespace r = wire::iteration_initialize_response;
  auto request = make_request(wire::request::iteration_initialize, w::bytes);
  put(request.data() + w::type, type);
  if (type == w::one_group) {
    put_name(request.data() + w::name, group);
  }
  const auto begun = [](const result<answer_bytes>& answer) {
    return answer && answer_error(*answer) == wire::status::ok && answer->size() >= r::bytes;
  };
  const auto handle_in = [](const result<answer_bytes>& answer) { return base::read_once_u64(answer->data() + r::handle); };
  entry one = request_entry(std::move(request), static_cast<std::uint32_t>(wire::response::iteration_initialize), r::bytes, how->deadline,
                            [=, this](const result<answer_bytes>& answer) {
                              if (begun(answer)) {
                                how->service_handle = handle_in(answer);
                                iterate(how);
                                return;
                              }
                              if (answer) {
                                walk_over();
                              }
                              how->end(fail(answer ? service_error(answer_error(*answer), how->what) : answer.error()));
                            });
  one.late = [=, this](const result<answer_bytes>& answer) {
    if (begun(answer)) {
      end_iteration(handle_in(answer));
    }
    walk_over();
  };
  one.what = entry::kind::question;
  one.number = in_line_;
  walks_.push_back(std::move(one));
  start_walks();
}

void session::start_walks() {
  constexpr std::uint32_t at_once = 8;
  while (walks_out_ < at_once && !walks_.empty() && !asks_no_more_) {
    ++walks_out_;
    questions_.push_back(std::move(walks_.front()));
    walks_.pop_front();
  }
}

/// The service has let go of its iteration, or will before it is asked for another.
void session::walk_over() {
  --walks_out_;
  start_walks();
}

void session::end_iteration(std::uint64_t service_handle) {
  if (asks_no_more_) {
    return;
  }
  auto request = make_request(wire::request::iteration_finalize, wire::iteration_finalize_request::bytes);
  put(request.data() + wire::iteration_finalize_request::handle, service_handle);
  question(std::move(request), static_cast<std::uint32_t>(wire::response::iteration_finalize), wire::response_header_bytes,
           base::time_point::max(), nullptr);
}

void session::iterate(const std::shared_ptr<iteration>& how) {
  auto request = make_request(wire::request::iteration_next, wire::iteration_next_request::bytes);
  put(request.data() + wire::iteration_next_request::handle, how->service_handle);
  question(std::move(request), static_cast<std::uint32_t>(wire::response::iteration_next), wire::iteration_next_response::bytes,
           how->deadline, [this, how](const result<answer_bytes>& answer) {
             namespace w = wire::iteration_next_response;
             const std::int32_t code = answer ? answer_error(*answer) : 0;
             const bool row = answer && code == wire::status::ok && answer->size() >= w::bytes;
             if (row && how->taken < walk_members_max) {
               ++how->taken;
               const std::byte* const at = answer->data();
               const std::uint32_t length = std::min<std::uint32_t>(base::read_once_u32(at + w::name), wire::name_text_max);
               member who;
               who.node_id = base::read_once_u32(at + w::node);
               who.pid = base::read_once_u32(at + w::pid);
               if (how->take({reinterpret_cast<const char*>(at) + w::name + wire::name_text, length}, who)) {
                 iterate(how);
                 return;
               }
             }
             end_iteration(how->service_handle);
             walk_over();
             if (row) {
               how->end(fail(errc::malformed, how->taken < walk_members_max
                                                  ? std::string("the service listed a member of another group than it was asked for")
                                                  : fmt::format("the service listed {} members without an end", walk_members_max)));
             } else if (answer && code == wire::status::no_sections) {
               how->end({});
             } else {
               how->end(fail(answer ? service_error(code, how->what) : answer.error()));
             }
           });
}

// --- questions ----------------------------------------------------------------------------------------------------------------

result<void> session::query_members(std::string_view group, handle::answer<std::vector<member>> done, base::time_point now) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  if (group.empty() || group.size() > wire::name_text_max) {
    return fail(errc::invalid_param, fmt::format("a group name has 1 to 128 bytes, this one has {}", group.size()));
  }
  auto found = std::make_shared<std::vector<member>>();
  auto how = std::make_shared<iteration>();
  how->what = "to list a group's members";
  how->deadline = now + options_.control_deadline;
  how->take = [found, group = std::string(group)](std::string_view of, member who) {
    found->push_back(who);
    return of == group;
  };
  how->end = [this, found, done = std::move(done)](result<void> outcome) {
    if (!outcome) {
      answers.push_back(settled<std::vector<member>>(done, fail(std::move(outcome.error()))));
      return;
    }
    std::sort(found->begin(), found->end(),
              [](const member& a, const member& b) { return std::tie(a.node_id, a.pid) < std::tie(b.node_id, b.pid); });
    answers.push_back(settled<std::vector<member>>(done, std::move(*found)));
  };
  walk(wire::iteration_initialize_request::one_group, group, how);
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
             } else if (answer_error(*answer) != wire::status::ok || answer->size() < wire::local_get_response::bytes) {
               answers.push_back(settled<std::uint32_t>(done, fail(service_error(answer_error(*answer), "the local node id"))));
             } else {
               answers.push_back(settled<std::uint32_t>(done, base::read_once_u32(answer->data() + wire::local_get_response::node)));
             }
           });
  return {};
}

result<void> session::query_groups(handle::answer<std::vector<group_entry>> done, base::time_point now) {
  if (auto ok = usable(); !ok) {
    return ok;
  }
  auto found = std::make_shared<std::vector<group_entry>>();
  auto how = std::make_shared<iteration>();
  how->what = "to list groups";
  how->deadline = now + options_.control_deadline;
  how->take = [found](std::string_view group, member who) {
    found->push_back({std::string(group), who.node_id, who.pid});
    return true;
  };
  how->end = [this, found, done = std::move(done)](result<void> outcome) {
    answers.push_back(outcome ? settled<std::vector<group_entry>>(done, std::move(*found))
                              : settled<std::vector<group_entry>>(done, fail(std::move(outcome.error()))));
  };
  walk(wire::iteration_initialize_request::all, {}, how);
  return {};
}

}  // namespace cpgring::cpg
