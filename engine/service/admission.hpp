// Who may be a client of the service. The service trusts the memory that it shares with clients: a client can do whatever the service can
// do.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <cpgring/error.hpp>
#include <cpgring/service.hpp>

namespace cpgring::service {

/// Ids of a process; its groups without the effective one.
struct identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;

  /// Of this process.
  static identity own();
  /// Of whoever connected the socket `fd`, as the kernel noted it then. Empty: not to be had.
  static std::optional<identity> peer(int fd);
  [[nodiscard]] bool in(gid_t group) const noexcept;
};

class admission {
 public:
  /// Errors: invalid_param for rules that can let nobody in, or root's service in danger; the text says what to do.
  static result<admission> make(const embedded_service_options& options, identity own);

  [[nodiscard]] bool admits(const identity& client) const noexcept;

  struct file_owner {
    uid_t uid;
    gid_t gid;
    mode_t mode;
  };
  /// Of the files that the service shares with a client that is let in. Only root can give files away.
  [[nodiscard]] file_owner owner_for(const identity& client) const noexcept;
  /// "root, uid 7 and group 9", for a text.
  [[nodiscard]] std::string admitted() const;

 private:
  admission(identity own, std::optional<gid_t> group, std::vector<uid_t> only) noexcept
      : own_(std::move(own)), group_(group), only_(std::move(only)) {}
  [[nodiscard]] bool by_group(const identity& client) const noexcept;

  identity own_;
  std::optional<gid_t> group_;
  std::vector<uid_t> only_;
};

/// The whole process, all of its threads, becomes `user` for good: ids, groups and capabilities. Errors: name_not_found, access, or an
/// errno.
result<void> become(const std::string& user);

}  // namespace cpgring::service
