#include "service/admission.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace cpgring::service {

identity identity::own() {
  identity self{::geteuid(), ::getegid(), {}};
  if (const int count = ::getgroups(0, nullptr); count > 0) {
    self.groups.resize(static_cast<std::size_t>(count));
    const int got = ::getgroups(count, self.groups.data());
    self.groups.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  return self;
}

std::optional<identity> identity::peer(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return std::nullopt;
  }
  identity it{credentials.uid, credentials.gid, {}};
  size = 0;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size) != 0 && errno == ERANGE) {
    it.groups.resize(size / sizeof(gid_t));
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, it.groups.data(), &size) != 0) {
      it.groups.clear();
    }
  }
  return it;
}

bool identity::in(gid_t group) const noexcept {
  return gid == group || std::find(groups.begin(), groups.end(), group) != groups.end();
}

result<admission> admission::make(const embedded_service_options& options, identity own) {
  if (!options.allow_gid) {
    if (!options.allow_uid.empty()) {
      return fail(
          errc::invalid_param,
          "embedded_service_options::allow_uid only narrows allow_gid and admits nobody by itself; set "
          "allow_gid (--allow-gid) to a group of both the service's user and the clients' users");
    }
    return admission(std::move(own), {}, {});
  }
  if (own.uid == 0) {
    return fail(errc::invalid_param,
                "embedded_service_options::allow_gid is refused for a service of root: its clients would be "
                "as powerful as root; start the service as another user, or name that user (--user)");
  }
  if (!own.in(*options.allow_gid)) {
    return fail(
        errc::invalid_param,
        fmt::format("embedded_service_options::allow_gid {0} admits nobody: the service runs as uid {1}, "
                    "which is not in group {0} and so can't share memory with it; add that user to the "
                    "group, or choose a group that it is in",
                    *options.allow_gid, own.uid));
  }
  return admission(std::move(own), options.allow_gid, options.allow_uid);
}

bool admission::by_group(const identity& client) const noexcept {
  return group_ && client.in(*group_) &&
         (only_.empty() || std::find(only_.begin(), only_.end(), client.uid) != only_.end());
}

bool admission::admits(const identity& client) const noexcept {
  return client.uid == 0 || client.uid == own_.uid || by_group(client);
}

admission::file_owner admission::owner_for(const identity& client) const noexcept {
  if (own_.uid == 0) {
    return {client.uid, client.gid, 0600};
  }
  if (client.uid != 0 && client.uid != own_.uid && group_) {
    return {own_.uid, *group_, 0660};
  }
  return {own_.uid, own_.gid, 0600};
}

std::string admission::admitted() const {
  std::string text = own_.uid == 0 ? "root" : fmt::format("root and uid {}", own_.uid);
  if (group_) {
    text += only_.empty() ? fmt::format(" and group {}", *group_)
                          : fmt::format(" and, of group {}, uid {}", *group_, fmt::join(only_, ", "));
  }
  return text;
}

namespace {

result<void> clear_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) {
    return fail_errno(errno, "dropping capabilities");
  }
  return {};
}

}  // namespace

result<void> become(const std::string& user) {
  if (::geteuid() != 0) {
    return fail(errc::access,
                fmt::format("only root can become user '{}'; start as root, or without --user", user));
  }
  std::array<char, 16384> room{};
  passwd entry{};
  passwd* found = nullptr;
  if (const int code = ::getpwnam_r(user.c_str(), &entry, room.data(), room.size(), &found); code != 0) {
    return fail_errno(code, fmt::format("looking up user '{}'", user));
  }
  if (found == nullptr) {
    return fail(errc::name_not_found, fmt::format("there is no user '{}' on this machine", user));
  }
  if (entry.pw_uid == 0) {
    return fail(errc::invalid_param,
                fmt::format("user '{}' is root; leave --user out, or name another", user));
  }
  // glibc applies each of these calls to all threads of the process.
  if (::initgroups(entry.pw_name, entry.pw_gid) != 0 ||
      ::setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid) != 0 ||
      ::setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid) != 0) {
    return fail_errno(errno, fmt::format("switching to user '{}'", user));
  }
  if (auto ok = clear_capabilities(); !ok) {
    return ok;
  }
  if (::setuid(0) == 0 || ::geteuid() != entry.pw_uid || ::getuid() != entry.pw_uid ||
      ::getegid() != entry.pw_gid) {
    return fail(
        errc::access,
        fmt::format("the process did not fully become user '{}'; check its securebits (setpriv --dump)",
                    user));
  }
  return {};
}

}  // namespace cpgring::service
