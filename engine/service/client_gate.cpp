#include "service/client_gate.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include <cpgring/options.hpp>

namespace cpgring::service {
namespace {

/// True: the client has sent its part, and the service was too busy to read it. A client cannot prolong its
/// handshake this way: libqb reads 24 bytes and then ends the handshake.
bool has_unread_bytes(std::int32_t fd) {
  char byte = 0;
  return ::recv(fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) > 0;
}

}  // namespace

client_gate::client_gate(admission rules, event_loop& loop, service_log& log)
    : rules_(std::move(rules)), loop_(loop), log_(log) {
  loop_.set_gatekeeper(this);
}

client_gate::~client_gate() {
  close();
  loop_.set_gatekeeper(nullptr);
}

bool client_gate::may_begin(std::int32_t fd) {
  const auto who = identity::peer(fd);
  if (!who) {
    return false;
  }
  if (const auto victim = half_open_.begin(fd, who->uid, !rules_.admits(*who), base::clock::now())) {
    hang_up(*victim, "its place is needed for a newer connection");
  }
  arm_timer();
  return true;
}

/// `fd` has not finished its handshake.
void client_gate::hang_up(std::int32_t fd, std::string_view why) {
  const auto who = identity::peer(fd);
  const auto uid = who ? who->uid : 0;
  log_.say(log_level::warning, {"disconnected", fmt::format("clients of uid {} during their handshake", uid)},
           fmt::format("disconnected a client of uid {} during its handshake: {}", uid, why));
  loop_.hang_up(fd);
  half_open_.end(fd);  // no effect unless libqb has kept `fd`
}

void client_gate::ended(std::int32_t fd) { half_open_.end(fd); }

void client_gate::arm_timer() {
  const auto due = half_open_.due();
  if (watching_ || !due) {
    return;
  }
  watching_ = true;
  loop_.call_after(*due - base::clock::now(), [this] {
    watching_ = false;
    drop_expired(base::clock::now());
    arm_timer();
  });
}

void client_gate::drop_expired(base::time_point now) {
  while (half_open_.size() != 0 && *half_open_.due() <= now) {
    const std::int32_t late = *half_open_.oldest();
    if (has_unread_bytes(late)) {
      half_open_.extend_oldest(now);
    } else {
      hang_up(late, fmt::format("it took more than {} s", half_open::patience.count()));
    }
  }
}

void client_gate::close() {
  while (const auto fd = half_open_.oldest()) {
    loop_.hang_up(*fd);
    half_open_.end(*fd);
  }
}

void client_gate::out_of_descriptors() {
  log_.say(
      log_level::error, {"out of descriptors", "times"},
      "no client can be accepted at present: the process is out of file descriptors; raise RLIMIT_NOFILE "
      "(LimitNOFILE=)");
}

std::int32_t client_gate::admit(qb_ipcs_connection_t* c, uid_t uid, gid_t gid) {
  identity who{uid, gid, {}};
  if (auto peer = identity::peer(loop_.reporting())) {
    who.groups = std::move(peer->groups);
    who.groups.push_back(peer->gid);
  }
  if (!rules_.admits(who)) {
    log_.say(
        log_level::warning, {"refused", fmt::format("connections of uid {}", uid)},
        fmt::format("refused a client of uid {}: allowed are {} (see allow_gid)", uid, rules_.admitted()));
    return -EACCES;
  }
  if (const std::int32_t bytes = ::qb_ipcs_connection_get_buffer_size(c);
      bytes < 0 || static_cast<std::uint32_t>(bytes) > ring_bytes_max) {
    log_.say(log_level::warning,
             {"refused",
              fmt::format("clients of uid {} that asked for rings above {} bytes", uid, ring_bytes_max)},
             fmt::format("refused a client of uid {}: it asks for rings of {} bytes, the maximum is {}", uid,
                         static_cast<std::uint32_t>(bytes), ring_bytes_max));
    return -EMSGSIZE;
  }
  const auto files = rules_.owner_for(who);
  ::qb_ipcs_connection_auth_set(c, files.uid, files.gid, files.mode);
  return 0;
}

}  // namespace cpgring::service
