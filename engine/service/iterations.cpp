// Iterations over groups and members. Each one works on a copy that is made when it begins.
#include "base/checked_read.hpp"
#include "service/cpg_server.hpp"

namespace cpgring::service {
namespace {

// Limit for each client. An iteration may hold a copy of the members of all groups.
constexpr std::uint32_t iterations_max = 64;

}  // namespace

void cpg_server::iteration_initialize(member& from, bytes request) {
  namespace w = wire::iteration_initialize_request;
  const std::uint32_t type = base::read_once_u32(request.data() + w::type);
  // Stock libcpg leaves the name uninitialised unless the type is one_group. A stock service reads it only
  // for that type.
  std::string_view name;
  if (type == w::one_group && !name_at(request, w::name, name)) {
    return answer(from, wire::response::iteration_initialize, wire::status::name_too_long);
  }
  if (from.iterations >= iterations_max) {
    counters_.requests_refused.add();
    return answer(from, wire::response::iteration_initialize, wire::status::no_memory);
  }
  const std::string wanted(name);
  iteration made;
  made.owner = &from;
  groups_.each([&](const groups<member>::group& g) {
    if (type == w::names_only) {
      made.rows.emplace_back(g.name, address{});
    } else if (type != w::one_group || g.name == wanted) {
      for (const address& one : members_of(g)) {
        made.rows.emplace_back(g.name, one);
      }
    }
  });
  const std::uint64_t token = next_token_++;
  iterations_.emplace(token, std::move(made));
  ++from.iterations;
  std::array<std::byte, wire::iteration_initialize_response::bytes> reply{};
  put_header(reply.data(), wire::response::iteration_initialize, reply.size(), wire::status::ok);
  put(reply.data() + wire::iteration_initialize_response::handle, token);
  respond(from, reply);
}

void cpg_server::iteration_next(member& from, bytes request) {
  namespace w = wire::iteration_next_response;
  const auto found =
      iterations_.find(base::read_once_u64(request.data() + wire::iteration_next_request::handle));
  std::array<std::byte, w::bytes> reply{};
  if (found == iterations_.end() || found->second.owner != &from) {
    put_header(reply.data(), wire::response::iteration_next, reply.size(), wire::status::library);
  } else if (found->second.next == found->second.rows.size()) {
    put_header(reply.data(), wire::response::iteration_next, reply.size(), wire::status::no_sections);
  } else {
    const auto& [name, who] = found->second.rows[found->second.next++];
    put_header(reply.data(), wire::response::iteration_next, reply.size(), wire::status::ok);
    put_name(reply.data() + w::name, name);
    put(reply.data() + w::node, who.node);
    put(reply.data() + w::pid, who.pid);
  }
  respond(from, reply);
}

void cpg_server::iteration_finalize(member& from, bytes request) {
  const auto found =
      iterations_.find(base::read_once_u64(request.data() + wire::iteration_finalize_request::handle));
  if (found == iterations_.end() || found->second.owner != &from) {
    return answer(from, wire::response::iteration_finalize, wire::status::library);
  }
  iterations_.erase(found);
  --from.iterations;
  answer(from, wire::response::iteration_finalize, wire::status::ok);
}

}  // namespace cpgring::service
