#include "ipc/handshake.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fmt/format.h>
#include <cpgring/options.hpp>

#include "base/check.hpp"

namespace cpgring::ipc {
namespace {

constexpr std::size_t at_error = 16, at_type = 24, at_max_message_size = 28, at_request = 40,
                      at_response = 4136, at_event = 8232;
constexpr std::size_t name_bytes = 4096;
constexpr std::size_t request_bytes = 24;
constexpr std::int32_t authenticate = -1;
constexpr std::uint32_t type_shared_memory = 1;
constexpr uid_t overflow_uid = 65534;  // the kernel's default

// libqb checks for this file once in a process; Debian builds it with /tmp as the directory of its sockets.
bool filesystem_sockets() {
  static const bool forced = [] {
    struct stat st {};
    return ::stat("/etc/libqb/force-filesystem-sockets", &st) == 0;
  }();
  return forced;
}

template <class T>
T field(const std::byte* answer, std::size_t at) noexcept {
  T value;
  std::memcpy(&value, answer + at, sizeof value);
  return value;
}

constexpr std::int32_t errno_max = 4095;

error refusal(std::string_view service, std::int32_t code) {
  switch (-code) {
    case EACCES:
      return {errc::access, fmt::format("service '{}' refuses this user; run as root, or allow the uid: "
                                        "corosync's uidgid.d, or cmap uidgid.uid.N = 1",
                                        service)};
    case EAGAIN:
      return {errc::service_not_ready,
              fmt::format("service '{}' accepts no clients yet (before its first sync); try again", service)};
    case ENOSPC:
      return {errc::no_space, fmt::format("service '{}' found no room in /dev/shm for the rings; enlarge it "
                                          "or use a smaller ring_bytes",
                                          service)};
    case EMFILE:
    case ENFILE:
      return {
          errc::no_descriptors,
          fmt::format("service '{}' is out of file descriptors; raise the service's RLIMIT_NOFILE", service)};
    case ENOSYS:
      return {errc::service_absent, fmt::format("the process behind '{}' has no such service", service)};
    case EFBIG:
      return {errc::no_space,
              fmt::format("service '{}' may not create files as large as the rings; raise the "
                          "service's RLIMIT_FSIZE (ulimit -f, "
                          "LimitFSIZE= of a systemd unit) or use a smaller ring_bytes",
                          service)};
    case ENOMEM:
      return {
          errc::no_memory,
          fmt::format(
              "service '{}' is out of memory, address space or mappings; raise the service's RLIMIT_AS or "
              "vm.max_map_count, or use a smaller ring_bytes",
              service)};
    default: break;
  }
  return fail_errno(-code, fmt::format("service '{}' refused the connection", service)).why;
}

/// The base name of a ring: NUL-terminated, absolute, printable, without an empty part and without "." and
/// "..". The last directory is opened without following a link; "link/." would follow it.
std::optional<std::string> ring_name(const std::byte* answer, std::size_t at) {
  const char* text = reinterpret_cast<const char*>(answer) + at;
  const std::size_t length = ::strnlen(text, name_bytes);
  if (length == name_bytes || length < 2 || text[0] != '/') {
    return std::nullopt;
  }
  std::string name(text, length);
  const bool plain =
      std::none_of(name.begin(), name.end(), [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; });
  for (const char* part : {"//", "/./", "/../"}) {
    if (!plain || name.find(part) != std::string::npos) {
      return std::nullopt;
    }
  }
  return name;
}

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_in_directory(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

result<handshake> handshake::begin(std::string_view service, std::uint32_t max_message_size, bool prefault,
                                   std::optional<uid_t> service_uid) {
  handshake h;
  h.service_ = service;
  h.max_message_size_ = max_message_size;
  h.prefault_ = prefault;
  h.service_uid_ = service_uid;
  std::string path(service);
  bool file = !path.empty() && path.front() == '/';
  if (!file && filesystem_sockets()) {
    path = "/tmp/" + path;
    file = true;
  }
  if (path.empty() || path.size() >= sizeof h.address_.sun_path - 1 || path.find('\0') != std::string::npos) {
    return fail(errc::invalid_param,
                fmt::format("service '{}': a socket name has 1 to {} bytes and no NUL among them", service,
                            sizeof h.address_.sun_path - 2));
  }
  h.address_.sun_family = AF_UNIX;
  // An abstract name starts with a NUL and is compared over the whole field, trailing NULs included.
  std::memcpy(h.address_.sun_path + (file ? 0 : 1), path.data(), path.size());
  h.address_bytes_ = file ? static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size())
                          : static_cast<socklen_t>(sizeof h.address_);
  h.socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!h.socket_) {
    if (errno == EMFILE || errno == ENFILE) {
      return fail(errc::no_descriptors,
                  "out of file descriptors for another connection; raise RLIMIT_NOFILE (1 for each handle)");
    }
    return fail_errno(errno, "creating a socket");
  }
  h.socket_in_child_ = base::closed_in_child(h.socket_.get());
  const int on = 1;
  // Before anything is sent, so that the kernel attaches this process's credentials.
  if (::setsockopt(h.socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
    return fail_errno(errno, "passing credentials on a socket");
  }
  return h;
}

result<handshake::step> handshake::advance() {
  switch (phase_) {
    case phase::connecting: return connect_step();
    case phase::sending: return send_step();
    case phase::receiving: return receive_step();
    case phase::complete: return step::done;
  }
  return step::done;
}

result<handshake::step> handshake::connect_step() {
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address_), address_bytes_) != 0) {
    switch (errno) {
      case EAGAIN: return step::retry_connect;
      case ECONNREFUSED:
      case ENOENT:
        return fail(errc::service_absent, fmt::format("no service listens under '{}'; start it (corosync, or "
                                                      "cpgring serve), or check name and network namespace",
                                                      service_));
      case EACCES: return fail(errc::access, fmt::format("no permission to connect to '{}'", service_));
      default: return fail_errno(errno, fmt::format("connecting to service '{}'", service_));
    }
  }
  if (auto ok = check_peer(); !ok) {
    return fail(ok.error());
  }
  phase_ = phase::sending;
  return send_step();
}

/// Checks who runs the service. Any process can bind a free abstract name, and a service sees and orders all
/// multicasts. So its user must be able to do that anyway, or be named by service_uid.
result<void> handshake::check_peer() {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return fail_errno(errno, fmt::format("reading who runs service '{}'", service_));
  }
  facts_.service_pid = peer.pid;
  facts_.service_uid = peer.uid;
  const uid_t own = ::geteuid();
  if (peer.uid == 0 || peer.uid == own || (service_uid_ && peer.uid == *service_uid_)) {
    return {};
  }
  std::string text =
      fmt::format("service '{}' is run by uid {}, this process by uid {}: ", service_, peer.uid, own);
  text += service_uid_ ? fmt::format("only services of uid 0, of its own uid and of uid {} are trusted; ",
                                     *service_uid_)
                       : std::string("only services of uid 0 and of its own uid are trusted; ");
  text += fmt::format(
      "to allow it: handle_options::service_uid, --service-uid {0}, or CPGRING_LIBCPG_SERVICE_UID={0}",
      peer.uid);
  if (peer.uid == overflow_uid) {
    text += fmt::format(
        " ({} stands for any uid that is unknown here: the service may run in another user namespace)",
        overflow_uid);
  }
  return fail(errc::access, std::move(text));
}

result<handshake::step> handshake::send_step() {
  std::array<std::byte, request_bytes> request{};
  const std::int32_t id = authenticate, size = request_bytes;
  std::memcpy(request.data(), &id, sizeof id);
  std::memcpy(request.data() + 8, &size, sizeof size);
  std::memcpy(request.data() + 16, &max_message_size_, sizeof max_message_size_);
  const auto sent = ::send(socket_.get(), request.data(), request.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request.size())) {  // the first 24 bytes on a new socket
    return fail(errc::service_lost, fmt::format("service '{}' hung up before the handshake", service_));
  }
  answer_ = std::make_unique<std::array<std::byte, answer_bytes>>();
  phase_ = phase::receiving;
  return receive_step();
}

result<handshake::step> handshake::receive_step() {
  while (received_ < answer_bytes) {
    const auto got =
        ::recv(socket_.get(), answer_->data() + received_, answer_bytes - received_, MSG_DONTWAIT);
    if (got > 0) {
      received_ += static_cast<std::size_t>(got);
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return step::wait_readable;
    } else {
      return fail(errc::service_lost,
                  fmt::format("service '{}' hung up after {} of {} bytes of its handshake", service_,
                              received_, answer_bytes));
    }
  }
  return parse_answer();
}

result<handshake::step> handshake::parse_answer() {
  const std::byte* a = answer_->data();
  const auto malformed = [this](std::string_view what, auto value, auto expected) {
    return fail(errc::malformed, fmt::format("service '{}' sent a handshake whose {} is {}, expected {}",
                                             service_, what, value, expected));
  };
  if (const auto id = field<std::int32_t>(a, 0); id != authenticate) {
    return malformed("id", id, authenticate);
  }
  if (const auto size = field<std::int32_t>(a, 8); size != static_cast<std::int32_t>(answer_bytes)) {
    return malformed("size", size, answer_bytes);
  }
  if (const auto code = field<std::int32_t>(a, at_error); code > 0 || code < -errno_max) {
    return malformed("error", code, fmt::format("0, or a negative errno down to {}", -errno_max));
  } else if (code < 0) {
    return fail(refusal(service_, code));
  }
  if (const auto type = field<std::uint32_t>(a, at_type); type != type_shared_memory) {
    return fail(errc::not_supported,
                fmt::format("service '{}' offers connection type {}; only shared memory (1) works: remove "
                            "'system.qb_ipc_type: socket' from corosync.conf",
                            service_, type));
  }
  facts_.max_message_size = field<std::uint32_t>(a, at_max_message_size);
  // libqb uses the larger size of what client and service request.
  if (facts_.max_message_size < max_message_size_ || facts_.max_message_size > ring_bytes_max) {
    return malformed("max_msg_size", facts_.max_message_size,
                     fmt::format("{} (as asked for) to {}", max_message_size_, ring_bytes_max));
  }
  const auto request = ring_name(a, at_request), response = ring_name(a, at_response),
             event = ring_name(a, at_event);
  if (!request || !response || !event) {
    return malformed(!request    ? "request ring name"
                     : !response ? "response ring name"
                                 : "event ring name",
                     "not terminated, not absolute or not a plain path", "an absolute path");
  }
  if (directory_of(*request) != directory_of(*response) || directory_of(*request) != directory_of(*event)) {
    return malformed("ring directory", directory_of(*event), directory_of(*request));
  }
  if (*request == *response || *request == *event || *response == *event) {
    return malformed("ring names", *request == *response || *request == *event ? *request : *response,
                     "three different ones");
  }
  facts_.directory = directory_of(*request);
  facts_.request = name_in_directory(*request);
  facts_.response = name_in_directory(*response);
  facts_.event = name_in_directory(*event);
  const int off = 0;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &off, sizeof off);
  phase_ = phase::complete;
  answer_.reset();
  return step::done;
}

result<connection> handshake::finish() {
  CPGRING_CHECK(phase_ == phase::complete && socket_);
  socket_in_child_.reset();
  return connection::open(std::move(socket_), facts_, prefault_);
}

}  // namespace cpgring::ipc
