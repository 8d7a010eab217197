// Queries: requests that change nothing. Members of a group, all groups, the local node id, and flush.
//
// Lists come from iterations: begin, next until the end of the list, end; one request at a time. A service
// keeps few iterations for a connection, so at most iterations_max are open, and each is ended. The request
// behind cpg_membership_get(3) is never sent: it makes a stock service overrun its stack in a group of more
// than 384 members. One thread. Invariant: each query is completed exactly once, through `answers`, which
// have no place in the order of events.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <cpgring/handle.hpp>
#include <cpgring/result.hpp>
#include <cpgring/view.hpp>

#include "base/clock.hpp"
#include "cpg/notice.hpp"
#include "cpg/request_line.hpp"

namespace cpgring::cpg {

class queries {
 public:
  static constexpr std::uint32_t iterations_max = 8;
  /// Limit of rows in one iteration: far more than a cluster has. Bounds the memory that a service can
  /// consume with an endless list.
  static constexpr std::size_t rows_max = 262144;

  queries(base::nanoseconds control_deadline, request_line& line, std::deque<notice>& answers) noexcept
      : control_deadline_(control_deadline), line_(line), answers_(answers) {}
  queries(const queries&) = delete;
  queries& operator=(const queries&) = delete;

  // No `done` is empty: handle refuses such a call.
  /// Errors: invalid_param, because of the group's name.
  result<void> members(std::string_view group, completion<std::vector<member_address>> done);
  void groups(completion<std::vector<group_entry>> done);
  void local_node(completion<std::uint32_t> done);
  /// Completed when the service has taken all multicasts before: its answer to a later request proves that.
  void flush(completion<void> done, base::time_point deadline);

  /// Completes queries whose deadline has passed while they waited for a free iteration.
  void expire(base::time_point now);
  /// Queries wait for a free iteration.
  [[nodiscard]] bool busy() const noexcept { return !waiting_.empty(); }
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept;
  /// From now on no request is made, not even after a query that fails.
  void stop() noexcept { stopped_ = true; }
  /// Completes the queries that wait for a free iteration with `why`.
  void fail_all(const error& why);

 private:
  struct iteration;
  using iteration_ptr = std::shared_ptr<iteration>;

  void start(const iteration_ptr& one);
  void begin_waiting();
  void begin(const iteration_ptr& one);
  void began(const iteration_ptr& one, const result<answer_bytes>& answer);
  void next(const iteration_ptr& one);
  void on_row(const iteration_ptr& one, const result<answer_bytes>& answer);
  void end_in_service(std::uint64_t service_handle);
  void closed();

  const base::nanoseconds control_deadline_;
  request_line& line_;
  std::deque<notice>& answers_;
  std::list<iteration_ptr> waiting_;  // not begun
  std::uint32_t open_ = 0;            // iterations that the service may have open
  bool stopped_ = false;
};

}  // namespace cpgring::cpg
