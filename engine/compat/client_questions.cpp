// Queries of a handle: the members of a group, the local node, iterations. The callers have disabled
// cancellation; see cancellation.hpp.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <tuple>

#include "compat/client.hpp"
#include "compat/codes.hpp"
#include "cpg/requests.hpp"

namespace cpgring::compat {
namespace {

namespace w = cpg::wire;

// Maximum number of rows of an iteration over one group, far more than a group has. Limits the memory that a
// service can consume by an endless list.
constexpr std::size_t rows_max = 65536;

}  // namespace

cs_error_t client::membership(const cpg_name& group, cpg_address* list, int& entries) {
  if (group.length > CPG_MAX_NAME_LENGTH) {
    return CS_ERR_NAME_TOO_LONG;
  }
  std::vector<cpg_address> all;
  if (const cs_error_t e = members_of(group, all); e != CS_OK) {
    return e;
  }
  // Callers have room for CPG_MEMBERS_MAX entries. Stock libcpg ignores the size that they pass, and many do
  // not set it.
  const std::size_t most = settings_.unbounded_lists ? w::membership_response::members_max : CPG_MEMBERS_MAX;
  all.resize(std::min(all.size(), most));
  std::copy(all.begin(), all.end(), list);
  entries = static_cast<int>(all.size());
  return CS_OK;
}

/// Iterates over the group and sorts the result. The single request that stock libcpg sends makes a stock
/// service overrun its stack if the group has more than 384 members.
cs_error_t client::members_of(const cpg_name& group, std::vector<cpg_address>& all) {
  const auto until = deadline();
  std::uint64_t iteration = 0;
  if (const cs_error_t e = begin_iteration(CPG_ITERATION_ONE_GROUP, &group, iteration); e != CS_OK) {
    return e;
  }
  // Ends the iteration if the thread is cancelled or out of memory. Must not wait.
  struct cancelled {
    client* self;
    std::uint64_t iteration;
    ~cancelled() {
      if (self != nullptr && self->requests_.try_lock()) {
        const std::lock_guard lock(self->requests_, std::adopt_lock);
        try {
          static_cast<void>(self->post(cpg::encode_iteration_end(iteration)));
        } catch (const std::bad_alloc&) {  // the service keeps the iteration until the connection ends
        }
      }
    }
  } guard{this, iteration};
  cs_error_t said = CS_OK;
  while (said == CS_OK) {
    cpg_iteration_description_t one{};
    said = all.size() == rows_max ? CS_ERR_LIBRARY
           : over(until)          ? CS_ERR_TIMEOUT
                                  : next_of_iteration(iteration, one);
    if (said == CS_OK) {
      all.push_back({one.nodeid, one.pid, CPG_REASON_UNDEFINED});
    }
  }
  {
    const std::lock_guard lock(requests_);
    guard.self = nullptr;
    if (!finalized()) {
      static_cast<void>(
          post(cpg::encode_iteration_end(iteration)));  // without waiting: the deadline may have passed
    }
  }
  if (said != CS_ERR_NO_SECTIONS) {
    return said;
  }
  std::sort(all.begin(), all.end(), [](const cpg_address& a, const cpg_address& b) {
    return std::tie(a.nodeid, a.pid) < std::tie(b.nodeid, b.pid);
  });
  return CS_OK;
}

cs_error_t client::local_node(unsigned int& node) {
  std::vector<std::byte> answer;
  if (const cs_error_t e = answer_to(cpg::encode_local_get(), answer); e != CS_OK) {
    return e;
  }
  const auto found = cpg::decode_local_node(answer);
  node = found.value_or(0);
  return found ? CS_OK : CS_ERR_LIBRARY;
}

cs_error_t client::begin_iteration(int type, const cpg_name* group, std::uint64_t& iteration) {
  if (group != nullptr && group->length > CPG_MAX_NAME_LENGTH) {
    return CS_ERR_NAME_TOO_LONG;
  }
  std::vector<std::byte> answer;
  const auto request = cpg::encode_iteration_begin(static_cast<std::uint32_t>(type),
                                                   group != nullptr ? text_of(*group) : std::string_view());
  if (const cs_error_t e = answer_to(request, answer); e != CS_OK) {
    return e;
  }
  const auto found = cpg::decode_iteration(answer);
  iteration = found.value_or(0);
  return found ? CS_OK : CS_ERR_LIBRARY;
}

cs_error_t client::next_of_iteration(std::uint64_t iteration, cpg_iteration_description_t& out) {
  std::vector<std::byte> answer;
  if (const cs_error_t e = answer_to(cpg::encode_iteration_next(iteration), answer); e != CS_OK) {
    return e;
  }
  const auto row = cpg::decode_iteration_row(answer);
  if (!row) {
    return CS_ERR_LIBRARY;
  }
  out.group.length = static_cast<std::uint32_t>(row->group.size());
  // Copies the whole field, like stock libcpg: callers may read beyond the length.
  std::memcpy(out.group.value, answer.data() + w::iteration_next_response::name + w::name_text,
              sizeof out.group.value);
  out.nodeid = row->who.node_id;
  out.pid = row->who.pid;
  return CS_OK;
}

cs_error_t client::end_iteration(std::uint64_t iteration) {
  std::vector<std::byte> answer;
  return answer_to(cpg::encode_iteration_end(iteration), answer);
}

}  // namespace cpgring::compat
