// The directory in which a service has put the files of one connection's rings.
//
// The directory is opened once, without following a link, and its owner is checked. Files are opened relative
// to it, so that the checked directory is the one that is used. Only files that were opened here are ever
// removed. Move-only; one thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/result.hpp>

#include "base/owned.hpp"

namespace cpgring::ipc {

/// Permitted owners of the files of a connection. A service of root gives the files to its client, or keeps
/// them. Any other service can only offer its own files: those of root or of the client belong to another
/// connection.
struct ring_owners {
  uid_t service = 0;  ///< the user that listens, from SO_PEERCRED
  uid_t client = 0;   ///< this process's effective uid

  [[nodiscard]] bool may_own_file(uid_t uid) const noexcept {
    return uid == service || (service == 0 && uid == client);
  }
  [[nodiscard]] bool may_own_directory(uid_t uid) const noexcept {
    return uid == 0 || uid == service || uid == client;
  }
};

class ring_directory {
 public:
  struct file {
    base::unique_fd fd;
    std::size_t size = 0;
  };

  /// Errors: no_descriptors, malformed (another owner), or an errno.
  static result<ring_directory> open(std::string path, ring_owners owners);
  /// Opens a file for reading and writing. Errors: no_descriptors, malformed (not a regular file, another
  /// owner, several hard links), or an errno.
  result<file> open_file(std::string_view name);
  [[nodiscard]] std::string path_of(std::string_view name) const { return path_ + '/' + std::string(name); }
  /// Closes the descriptor; no file can be opened afterwards.
  void close() noexcept { fd_.reset(); }
  /// Removes the files that were opened, and the directory if it is empty then. Other files that have taken
  /// their names since then are kept.
  void remove_opened() const noexcept;

 private:
  struct opened {
    std::string name;
    ino_t inode;
  };
  ring_directory(base::unique_fd fd, std::string path, ring_owners owners, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), owners_(owners), device_(device), inode_(inode) {}

  base::unique_fd fd_;
  std::string path_;
  ring_owners owners_;
  dev_t device_;
  ino_t inode_;
  std::vector<opened> opened_;
};

}  // namespace cpgring::ipc
