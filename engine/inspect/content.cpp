#include "inspect/content.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/checked_read.hpp"
#include "base/refusal.hpp"
#include "cpg/codec.hpp"
#include "cpg/requests.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::inspect {
namespace {

namespace wire = cpg::wire;
using payload_bytes = std::span<const std::byte>;

std::uint32_t u32_at(payload_bytes payload, std::size_t offset) noexcept {
  return base::read_once_u32(payload.data() + offset);
}

/// A name whose length is wrong is cut off at its field.
std::string_view name_at(payload_bytes payload, std::size_t offset) noexcept {
  const auto length = std::min<std::size_t>(u32_at(payload, offset + wire::name_length), wire::name_text_max);
  return {reinterpret_cast<const char*>(payload.data()) + offset + wire::name_text, length};
}

std::string too_short(std::string_view what, std::size_t bytes, std::size_t least) {
  return fmt::format("{} has {} bytes, {} are the least", what, bytes, least);
}

std::string text_of(const base::refusal& why) {
  const std::string most = why.most == base::refusal::no_limit ? "or more" : fmt::format("to {}", why.most);
  return fmt::format("{} is {}, allowed is {} {}", why.field, why.value, why.least, most);
}

std::string_view name_of_fragment(std::uint32_t type) noexcept {
  switch (static_cast<wire::fragment_type>(type)) {
    case wire::fragment_type::first: return "first";
    case wire::fragment_type::middle: return "middle";
    case wire::fragment_type::last: return "last";
  }
  return "unknown";
}

// --- events ---

void describe_view(const cpg::configuration& view, content& out) {
  for (std::uint32_t i = 0; i < view.members; ++i) {
    out.members.push_back(view.member_at(i));
  }
  for (std::uint32_t i = 0; i < view.left; ++i) {
    out.left.push_back(view.left_at(i));
  }
  for (std::uint32_t i = 0; i < view.joined; ++i) {
    out.joined.push_back(view.joined_at(i));
  }
}

content describe_event(std::span<std::byte> payload) {
  content out;
  cpg::event event;
  const auto kind = cpg::decode(payload.data(), static_cast<std::uint32_t>(payload.size()), event);
  if (cpg::has_a_group(kind)) {
    out.group = name_at(payload, wire::event_group);
  }
  switch (kind) {
    case cpg::event_kind::deliver:
      out.what = "message";
      out.node = event.message.node;
      out.pid = event.message.pid;
      out.data = payload_bytes(event.message.data, event.message.size);
      break;
    case cpg::event_kind::fragment:
      out.what = "fragment of a message";
      out.node = event.piece.node;
      out.pid = event.piece.pid;
      out.data = payload_bytes(event.piece.data, event.piece.size);
      out.total = event.piece.total;
      out.fragment = name_of_fragment(static_cast<std::uint32_t>(event.piece.type));
      break;
    case cpg::event_kind::configuration:
      out.what = "view";
      describe_view(event.membership, out);
      break;
    case cpg::event_kind::totem_configuration:
      out.what = "totem ring";
      out.ring = event.ring.ring;
      for (std::uint32_t i = 0; i < event.ring.count; ++i) {
        out.ring_nodes.push_back(event.ring.node_at(i));
      }
      break;
    case cpg::event_kind::broken: out.wrong = text_of(event.why); break;
  }
  return out;
}

// --- requests and responses ---

constexpr std::size_t absent = 0;  // no field lies in a header's first bytes

struct request_form {
  wire::request id;
  std::string_view name;
  std::size_t bytes;  // the least
  std::size_t group = absent, pid = absent, iteration = absent;
};

constexpr std::array requests{
    request_form{wire::request::join, "join", wire::join_request::bytes, wire::join_request::name,
                 wire::join_request::pid},
    request_form{wire::request::leave, "leave", wire::leave_request::bytes, wire::leave_request::name,
                 wire::leave_request::pid},
    request_form{wire::request::multicast, "multicast", wire::multicast_request::data},
    request_form{wire::request::membership, "list the members", wire::membership_request::bytes,
                 wire::membership_request::name},
    request_form{wire::request::local_get, "get the local node id", wire::local_get_request::bytes},
    request_form{wire::request::iteration_initialize, "begin an iteration",
                 wire::iteration_initialize_request::bytes, wire::iteration_initialize_request::name},
    request_form{wire::request::iteration_next, "continue an iteration", wire::iteration_next_request::bytes,
                 absent, absent, wire::iteration_next_request::handle},
    request_form{wire::request::iteration_finalize, "end an iteration",
                 wire::iteration_finalize_request::bytes, absent, absent,
                 wire::iteration_finalize_request::handle},
    request_form{wire::request::finalize, "finalize", wire::finalize_request::bytes},
    request_form{wire::request::zc_alloc, "map a zero-copy buffer", wire::zc_alloc_request::bytes},
    request_form{wire::request::zc_free, "unmap a zero-copy buffer", wire::zc_free_request::bytes},
    request_form{wire::request::zc_execute, "multicast a zero-copy buffer", wire::zc_execute_request::bytes},
    request_form{wire::request::partial_multicast, "multicast a fragment",
                 wire::partial_multicast_request::data},
};

struct response_form {
  wire::response id;
  std::string_view name;
};

constexpr std::array responses{
    response_form{wire::response::join, "join"},
    response_form{wire::response::leave, "leave"},
    response_form{wire::response::zc_execute, "multicast a zero-copy buffer"},
    response_form{wire::response::membership, "list the members"},
    response_form{wire::response::local_get, "get the local node id"},
    response_form{wire::response::iteration_initialize, "begin an iteration"},
    response_form{wire::response::iteration_next, "continue an iteration"},
    response_form{wire::response::iteration_finalize, "end an iteration"},
    response_form{wire::response::finalize, "finalize"},
    response_form{wire::response::partial_multicast, "multicast a fragment"},
};

/// The entry of a table with that id; null: there is none.
template <class Forms>
const typename Forms::value_type* form_of(const Forms& forms, std::int32_t id) noexcept {
  const auto* const found = std::find_if(
      forms.begin(), forms.end(), [id](const auto& one) { return static_cast<std::int32_t>(one.id) == id; });
  return found == forms.end() ? nullptr : found;
}

/// The bytes that a request multicasts, behind a header of `header` bytes.
void describe_data(payload_bytes payload, std::size_t header, std::uint32_t length, content& out) {
  if (length > payload.size() - header) {
    out.wrong = fmt::format("message length is {}, allowed is 0 to {}", length, payload.size() - header);
    return;
  }
  out.data = payload.subspan(header, length);
}

content describe_request(payload_bytes payload) {
  content out;
  if (payload.size() < wire::request_header_bytes) {
    out.wrong = too_short("the request", payload.size(), wire::request_header_bytes);
    return out;
  }
  const std::int32_t id = base::read_once_i32(payload.data() + wire::header_id);
  const request_form* const form = form_of(requests, id);
  if (form == nullptr) {
    out.wrong = fmt::format("request id is {}, which CPG has not", id);
    return out;
  }
  if (payload.size() < form->bytes) {
    out.wrong = too_short(fmt::format("the request to {}", form->name), payload.size(), form->bytes);
    return out;
  }
  out.what = fmt::format("request to {}", form->name);
  if (form->group != absent) {
    out.group = name_at(payload, form->group);
  }
  if (form->pid != absent) {
    out.pid = u32_at(payload, form->pid);
  }
  if (form->iteration != absent) {
    out.iteration = base::read_once_u64(payload.data() + form->iteration);
  }
  if (form->id == wire::request::multicast) {
    describe_data(payload, wire::multicast_request::data, u32_at(payload, wire::multicast_request::length),
                  out);
  } else if (form->id == wire::request::partial_multicast) {
    namespace w = wire::partial_multicast_request;
    out.total = u32_at(payload, w::total);
    out.fragment = name_of_fragment(u32_at(payload, w::type));
    describe_data(payload, w::data, u32_at(payload, w::length), out);
  }
  return out;
}

content describe_response(payload_bytes payload) {
  content out;
  if (payload.size() < wire::response_header_bytes) {
    out.wrong = too_short("the response", payload.size(), wire::response_header_bytes);
    return out;
  }
  const std::int32_t id = base::read_once_i32(payload.data() + wire::header_id);
  const response_form* const form = form_of(responses, id);
  if (form == nullptr) {
    out.wrong = fmt::format("response id is {}, which CPG has not", id);
    return out;
  }
  out.what = fmt::format("response to {}", form->name);
  const std::int32_t status = cpg::status_of(payload);
  out.status = status == wire::status::ok
                   ? "granted"
                   : fmt::format("refused: {}", make_error_code(cpg::errc_of_status(status)).message());
  if (form->id == wire::response::local_get) {
    out.node = cpg::decode_local_node(payload);
  } else if (form->id == wire::response::iteration_initialize) {
    out.iteration = cpg::decode_iteration(payload);
  } else if (form->id == wire::response::iteration_next) {
    if (const auto row = cpg::decode_iteration_row(payload)) {
      out.group = row->group;
      out.node = row->who.node_id;
      out.pid = row->who.pid;
    }
  }
  return out;
}

}  // namespace

std::string_view to_string(ring_kind kind) noexcept {
  switch (kind) {
    case ring_kind::unknown: return "ring";
    case ring_kind::request: return "request ring";
    case ring_kind::response: return "response ring";
    case ring_kind::event: return "event ring";
  }
  return "ring";
}

ring_name name_of(std::string_view file) noexcept {
  for (const std::string_view end : {"-header", "-data"}) {
    if (file.ends_with(end)) {
      file.remove_suffix(end.size());
      break;
    }
  }
  for (const auto& [begin, kind] : {std::pair<std::string_view, ring_kind>{"qb-request-", ring_kind::request},
                                    {"qb-response-", ring_kind::response},
                                    {"qb-event-", ring_kind::event}}) {
    if (file.starts_with(begin)) {
      return {kind, file.substr(begin.size())};
    }
  }
  return {};
}

bool may_be_cpg(std::string_view service) noexcept {
  constexpr std::array<std::string_view, 6> others{"cfg", "cmap", "quorum", "votequorum", "sam", "wd"};
  return std::find(others.begin(), others.end(), service) == others.end();
}

content describe_content(ring_kind kind, std::span<std::byte> payload) {
  switch (kind) {
    case ring_kind::event: return describe_event(payload);
    case ring_kind::request: return describe_request(payload);
    case ring_kind::response: return describe_response(payload);
    case ring_kind::unknown: break;
  }
  return {};
}

}  // namespace cpgring::inspect
