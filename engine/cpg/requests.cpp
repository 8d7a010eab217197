#include "cpg/requests.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.hpp"

namespace cpgring::cpg {
namespace {

constexpr answer_format bare(wire::response id) noexcept { return {id, wire::response_header_bytes}; }

bool granted(answer_bytes answer, std::size_t size) noexcept {
  return answer.size() >= size && status_of(answer) == wire::status::ok;
}

}  // namespace

encoded_request::encoded_request(wire::request id, std::size_t size, answer_format answer) noexcept
    : size_(static_cast<std::uint32_t>(size)), answer_(answer) {
  CPGRING_CHECK(size <= bytes_.size());
  put_header(bytes_.data(), id, size);
}

encoded_request encode_join(std::string_view group, std::uint32_t pid, std::uint32_t flags) noexcept {
  namespace w = wire::join_request;
  encoded_request r(wire::request::join, w::bytes, bare(wire::response::join));
  put_name(r.data() + w::name, group);
  put(r.data() + w::pid, pid);
  put(r.data() + w::flags, flags);
  return r;
}

encoded_request encode_leave(std::string_view group, std::uint32_t pid) noexcept {
  namespace w = wire::leave_request;
  encoded_request r(wire::request::leave, w::bytes, bare(wire::response::leave));
  put_name(r.data() + w::name, group);
  put(r.data() + w::pid, pid);
  return r;
}

encoded_request encode_local_get() noexcept {
  return {wire::request::local_get,
          wire::local_get_request::bytes,
          {wire::response::local_get, wire::local_get_response::bytes}};
}

encoded_request encode_finalize() noexcept {
  return {wire::request::finalize, wire::finalize_request::bytes, bare(wire::response::finalize)};
}

encoded_request encode_iteration_begin(std::uint32_t type, std::string_view group) noexcept {
  namespace w = wire::iteration_initialize_request;
  encoded_request r(wire::request::iteration_initialize, w::bytes,
                    {wire::response::iteration_initialize, wire::iteration_initialize_response::bytes});
  put_name(r.data() + w::name, group);
  put(r.data() + w::type, type);
  return r;
}

encoded_request encode_iteration_next(std::uint64_t iteration) noexcept {
  namespace w = wire::iteration_next_request;
  encoded_request r(wire::request::iteration_next, w::bytes,
                    {wire::response::iteration_next, wire::iteration_next_response::bytes});
  put(r.data() + w::handle, iteration);
  return r;
}

encoded_request encode_iteration_end(std::uint64_t iteration) noexcept {
  namespace w = wire::iteration_finalize_request;
  encoded_request r(wire::request::iteration_finalize, w::bytes, bare(wire::response::iteration_finalize));
  put(r.data() + w::handle, iteration);
  return r;
}

errc errc_of_status(std::int32_t status) noexcept {
  // Every errc that is no success has the number of the cs_error_t with that meaning.
  return wire::status::is_known(status) && status != wire::status::ok ? static_cast<errc>(status)
                                                                      : errc::library;
}

error service_error(std::int32_t status, std::string_view what) {
  const errc code = errc_of_status(status);
  return {code,
          fmt::format("the service refused {}: {} (code {})", what, make_error_code(code).message(), status)};
}

std::optional<std::uint32_t> decode_local_node(answer_bytes answer) noexcept {
  namespace w = wire::local_get_response;
  return granted(answer, w::bytes) ? std::optional(base::read_once_u32(answer.data() + w::node))
                                   : std::nullopt;
}

std::optional<std::uint64_t> decode_iteration(answer_bytes answer) noexcept {
  namespace w = wire::iteration_initialize_response;
  return granted(answer, w::bytes) ? std::optional(base::read_once_u64(answer.data() + w::handle))
                                   : std::nullopt;
}

std::optional<iteration_row> decode_iteration_row(answer_bytes answer) noexcept {
  namespace w = wire::iteration_next_response;
  if (!granted(answer, w::bytes)) {
    return std::nullopt;
  }
  const std::byte* const name = answer.data() + w::name;
  iteration_row row;
  row.group = {reinterpret_cast<const char*>(name) + wire::name_text,
               std::min<std::size_t>(base::read_once_u32(name + wire::name_length), wire::name_text_max)};
  row.who.node_id = base::read_once_u32(answer.data() + w::node);
  row.who.pid = base::read_once_u32(answer.data() + w::pid);
  return row;
}

}  // namespace cpgring::cpg
