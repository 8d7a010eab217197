#include "service/client_gate.hpp"

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include <cpgring/options.hpp>

namespace cpgring::service {

client_gate::client_gate(admission rules, event_loop& loop, service_log& log) : rules_(std::move(rules)), loop_(loop), log_(log) {
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
    hang_up(*victim, "others wait for its place");
  }
  watch_time();
  return true;
}

/// On one that has not finished its handshake.
void client_gate::hang_up(std::int32_t fd, std::string_view why) {
  const auto who = identity::peer(fd);
  const auto uid = who ? who->uid : 0;
  log_.say(log_level::warning, {"hung up on", fmt::format("clients of uid {} that did not finish their handshake", uid)},
           fmt::format("hung up on a client of uid {} that did not finish its handshake: {}", uid, why));
  loop_.hang_up(fd);
  half_open_.end(fd);  // done already, unless libqb has kept it
}

void client_gate::ended(std::int32_t fd) { half_open_.end(fd); }

void client_gate::watch_time() {
  const auto due = half_open_.due();
  if (watching_ || !due) {
    return;
  }
  watching_ = true;
  loop_.tick_after(*due - base::clock::now(), [this] {
    watching_ = false;
    const auto now = base::clock::now();
    while (half_open_.size() != 0 && *half_open_.due() <= now) {
      hang_up(*half_open_.oldest(), fmt::format("{} s are over", half_open::patience.count()));
    }
    watch_time();
  });
}

void client_gate::close() {
  while (const auto fd = half_open_.oldest()) {
    loop_.hang_up(*fd);
    half_open_.end(*fd);
  }
}

void client_gate::out_of_descriptors() {
  log_.say(log_level::error, {"out of descriptors", "times"},
           "no client is accepted for now: the process is out of file descriptors; raise RLIMIT_NOFILE (LimitNOFILE=)");
}

std::int32_t client_gate::admit(qb_ipcs_connection_t* c, uid_t uid, gid_t gid) {
  identity who{uid, gid, {}};
  if (auto peer = identity::peer(loop_.reporting())) {
    who.groups = std::move(peer->groups);
    who.groups.push_back(peer->gid);
  }
  if (!rules_.admits(who)) {
    log_.say(log_level::warning, {"refused", fmt::format("connections of uid {}", uid)},
             fmt::format("refused a client of uid {}: it may be of {} (see allow_gid)", uid, rules_.admitted()));
    return -EACCES;
  }
  if (const std::int32_t bytes = ::qb_ipcs_connection_get_buffer_size(c);
      bytes < 0 || static_cast<std::uint32_t>(bytes) > max_message_size_max) {
    log_.say(log_level::warning,
             {"refused", fmt::format("clients of uid {} that asked for rings above {} bytes", uid, max_message_size_max)},
             fmt::format("refused a client of uid {}: it asks for rings of {} bytes, at most {} are given", uid,
                         static_cast<std::uint32_t>(bytes), max_message_size_max));
    return -EMSGSIZE;
  }
  const auto files = rules_.owner_for(who);
  ::qb_ipcs_connection_auth_set(c, files.uid, files.gid, files.mode);
  return 0;
}

}  // namespace cpgring::service
