// Makes the calling thread another user within a scope. Threads and processes that it starts keep that user.
// Needs root.
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace cpgring::test {

class as_uid {
 public:
  explicit as_uid(uid_t uid) { set(uid); }
  as_uid(const as_uid&) = delete;
  as_uid& operator=(const as_uid&) = delete;
  ~as_uid() { set(0); }

 private:
  /// Changes the calling thread only; glibc's setresuid() would change the whole process.
  static void set(uid_t uid) {
    if (::syscall(SYS_setresuid, -1, uid, -1) != 0) {
      std::perror("setresuid");
      std::abort();
    }
  }
};

}  // namespace cpgring::test
