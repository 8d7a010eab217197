#include "cpg/queries.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace cpgring::cpg {
namespace {

template <class T>
notice with_answer(completion<T> done, result<T> value) {
  return completed{[done = std::move(done), value = std::move(value)]() mutable { done(std::move(value)); }};
}

}  // namespace

struct queries::iteration {
  const char* what;
  std::uint32_t type;
  std::string group;  // for one_group
  base::time_point deadline;
  function<bool(const iteration_row&)> take;  // false: the row was not asked for
  function<void(result<void>)> end;           // called once
  std::uint64_t service_handle = 0;
  std::size_t rows = 0;
};

// --- lists

result<void> queries::members(std::string_view group, completion<std::vector<member_address>> done) {
  if (group.empty() || group.size() > wire::name_text_max) {
    return fail(errc::invalid_param,
                fmt::format("a group name has 1 to 128 bytes, this one has {}", group.size()));
  }
  auto found = std::make_shared<std::vector<member_address>>();
  auto one = std::make_shared<iteration>();
  one->what = "to list a group's members";
  one->type = wire::iteration_initialize_request::one_group;
  one->group = group;
  one->take = [found, of = one.get()](const iteration_row& row) {
    found->push_back(row.who);
    return row.group == of->group;
  };
  one->end = [this, found, done = std::move(done)](result<void> outcome) mutable {
    using list = std::vector<member_address>;
    std::sort(found->begin(), found->end());
    answers_.push_back(with_answer<list>(
        std::move(done), outcome ? result<list>(std::move(*found)) : fail(std::move(outcome.error()))));
  };
  start(one);
  return {};
}

void queries::groups(completion<std::vector<group_entry>> done) {
  auto found = std::make_shared<std::vector<group_entry>>();
  auto one = std::make_shared<iteration>();
  one->what = "to list groups";
  one->type = wire::iteration_initialize_request::all;
  one->take = [found](const iteration_row& row) {
    found->push_back({std::string(row.group), row.who.node_id, row.who.pid});
    return true;
  };
  one->end = [this, found, done = std::move(done)](result<void> outcome) mutable {
    using list = std::vector<group_entry>;
    answers_.push_back(with_answer<list>(
        std::move(done), outcome ? result<list>(std::move(*found)) : fail(std::move(outcome.error()))));
  };
  start(one);
}

void queries::start(const iteration_ptr& one) {
  one->deadline = line_.now() + control_deadline_;
  waiting_.push_back(one);
  begin_waiting();
}

void queries::begin_waiting() {
  while (open_ < iterations_max && !waiting_.empty() && !stopped_) {
    ++open_;
    const iteration_ptr one = std::move(waiting_.front());
    waiting_.pop_front();
    begin(one);
  }
}

/// The service has freed an iteration, or will free it before it takes a later request.
void queries::closed() {
  --open_;
  begin_waiting();
}

void queries::begin(const iteration_ptr& one) {
  line_.ask_question(
      encode_iteration_begin(one->type, one->group), one->deadline,
      [this, one](const result<answer_bytes>& answer) { began(one, answer); },
      [this](const result<answer_bytes>& late) {
        if (const auto handle = late ? decode_iteration(*late) : std::nullopt) {
          end_in_service(*handle);
        }
        closed();
      });
}

void queries::began(const iteration_ptr& one, const result<answer_bytes>& answer) {
  if (!answer) {
    one->end(fail(answer.error()));
    return;
  }
  if (const auto handle = decode_iteration(*answer)) {
    one->service_handle = *handle;
    next(one);
    return;
  }
  closed();
  one->end(fail(service_error(status_of(*answer), one->what)));
}

void queries::next(const iteration_ptr& one) {
  line_.ask_question(encode_iteration_next(one->service_handle), one->deadline,
                     [this, one](const result<answer_bytes>& answer) { on_row(one, answer); });
}

void queries::on_row(const iteration_ptr& one, const result<answer_bytes>& answer) {
  const auto row = answer ? decode_iteration_row(*answer) : std::nullopt;
  if (row && one->rows < rows_max) {
    ++one->rows;
    if (one->take(*row)) {
      next(one);
      return;
    }
  }
  end_in_service(one->service_handle);
  closed();
  if (row) {
    one->end(fail(errc::malformed,
                  one->rows < rows_max
                      ? std::string("the service listed a member of another group than the requested one")
                      : fmt::format("the service listed {} members without an end", rows_max)));
  } else if (!answer) {
    one->end(fail(answer.error()));
  } else if (status_of(*answer) == wire::status::no_sections) {
    one->end({});
  } else {
    one->end(fail(service_error(status_of(*answer), one->what)));
  }
}

void queries::end_in_service(std::uint64_t service_handle) {
  if (!stopped_) {
    line_.ask_question(encode_iteration_end(service_handle), base::time_point::max(), {});
  }
}

// --- single answers

void queries::local_node(completion<std::uint32_t> done) {
  line_.ask_question(encode_local_get(), line_.now() + control_deadline_,
                     [this, done = std::move(done)](const result<answer_bytes>& answer) mutable {
                       result<std::uint32_t> value = fail(errc::library);
                       if (!answer) {
                         value = fail(answer.error());
                       } else if (const auto node = decode_local_node(*answer)) {
                         value = *node;
                       } else {
                         value = fail(service_error(status_of(*answer), "the local node id"));
                       }
                       answers_.push_back(with_answer<std::uint32_t>(std::move(done), std::move(value)));
                     });
}

void queries::flush(completion<void> done, base::time_point deadline) {
  line_.ask_question(encode_local_get(), deadline,
                     [this, done = std::move(done)](const result<answer_bytes>& answer) mutable {
                       answers_.push_back(with_answer<void>(std::move(done),
                                                            answer ? result<void>() : fail(answer.error())));
                     });
}

// --- deadlines and the end

void queries::expire(base::time_point now) {
  std::list<iteration_ptr> expired;  // a separate list, because a completion may make a new query
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    const auto here = at++;
    if ((*here)->deadline <= now) {
      expired.splice(expired.end(), waiting_, here);
    }
  }
  for (const auto& one : expired) {
    one->end(fail(errc::timeout, "too many earlier list queries were unanswered until the deadline"));
  }
}

std::optional<base::time_point> queries::next_deadline() const noexcept {
  std::optional<base::time_point> earliest;
  for (const auto& one : waiting_) {
    earliest = earliest ? std::min(*earliest, one->deadline) : one->deadline;
  }
  return earliest;
}

void queries::fail_all(const error& why) {
  for (const auto& one : std::exchange(waiting_, {})) {
    one->end(fail(why));
  }
}

}  // namespace cpgring::cpg
