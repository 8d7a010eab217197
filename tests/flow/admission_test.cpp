// Which users may be clients of which service. Each row starts processes of these users, which join or are
// refused.
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/owned.hpp"
#include "support/command.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

struct ids {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups = {};

  [[nodiscard]] bool take() const {
    return ::setgroups(groups.size(), groups.data()) == 0 && ::setresgid(gid, gid, gid) == 0 &&
           ::setresuid(uid, uid, uid) == 0;
  }
};

constexpr uid_t nobody = 65534;  // Debian's user of this name, whose group has the same number
const ids root{0, 0, {}}, plain{61000, 61000, {}}, inside{61000, 61000, {62000}};

/// A process with these ids that runs `work` and lives until it is killed. The child never returns from the
/// constructor.
class process {
 public:
  template <class Work>
  process(const ids& who, Work work) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      const auto say = [to = ends[1]](std::string line) {
        line += '\n';
        static_cast<void>(!::write(to, line.data(), line.size()));
      };
      if (!who.take()) {
        say("no permission to take these ids");
        ::_exit(1);
      }
      work(say);
      ::_exit(0);
    }
    ::close(ends[1]);
    from_.reset(ends[0]);
  }
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  ~process() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    remove_rings_of(pid_);
  }

  /// The next line that the process wrote.
  std::string line() {
    std::string text;
    for (char c = 0; ::read(from_.get(), &c, 1) == 1 && c != '\n';) {
      text += c;
    }
    return text;
  }

 private:
  pid_t pid_ = -1;
  base::unique_fd from_;
};

class admission_rows : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "needs root, to start processes of other users";
    }
    if (!world::embedded()) {
      GTEST_SKIP() << "tests the embedded service only";
    }
  }

  /// Starts a service. Returns "serving", or why it failed.
  std::string serve(const ids& who, std::optional<std::uint32_t> gid = {},
                    std::vector<std::uint32_t> uids = {}, std::string user = {}) {
    service_uid_ = user.empty() ? who.uid : nobody;
    service_.emplace(who, [&](const auto& say) {
      embedded_service_options o;
      o.name = name_;
      o.allow_gid = gid;
      o.allow_uid = uids;
      o.user = user;
      try {
        const embedded_service service(o);
        say("serving");
        std::ifstream status("/proc/self/task/" + std::to_string(::gettid()) + "/status");
        for (std::string word; std::getline(status, word);) {
          if (word.starts_with("Uid:") || word.starts_with("Gid:") || word.starts_with("Cap")) {
            say(word);
          }
        }
        ::pause();
      } catch (const std::exception& e) {
        say(e.what());
      }
    });
    return service_->line();
  }
  /// Returns "joined", "refused" or the cause of the loss. The client trusts the user of the service.
  std::string join(const ids& who) { return join(who, service_uid_); }
  std::string join(const ids& who, std::optional<std::uint32_t> trusted) {
    process client(who, [&](const auto& say) {
      engine loop;
      handle_options o;
      o.service = name_;
      o.service_uid = trusted;
      o.group = "g";
      o.ring_bytes = 65536;
      std::string outcome;
      callbacks c;
      c.on_state = [&](handle&, const state_change& change) {
        if (change.to == handle_state::joined) {
          outcome = "joined";
        } else if (change.cause != nullptr) {
          outcome = change.cause->code == make_error_code(errc::access) ? "refused" : change.cause->message();
        }
      };
      if (!loop.open(o, std::move(c))) {
        outcome = "not opened";
      }
      drive(loop, [&] { return !outcome.empty(); });
      say(outcome);
    });
    return client.line();
  }

  const std::string name_ = world::fresh_group("admission");
  std::optional<process> service_;
  uid_t service_uid_ = 0;
};

TEST_F(admission_rows, root_admits_only_root) {
  ASSERT_EQ(serve(root), "serving");
  EXPECT_EQ(join(root), "joined");
  EXPECT_EQ(join(plain), "refused");
}

TEST_F(admission_rows, root_refuses_allow_gid_and_allow_uid) {
  EXPECT_NE(serve(root, 62000).find("--user"), std::string::npos);
  EXPECT_NE(serve(root, 62000, {61001}).find("--user"), std::string::npos);
  EXPECT_NE(serve(root, {}, {61001}).find("--allow-gid"), std::string::npos);
}

TEST_F(admission_rows, root_with_user_runs_as_that_user) {
  ASSERT_EQ(serve(root, {}, {}, "nobody"), "serving");
  EXPECT_EQ(service_->line(), "Uid:\t65534\t65534\t65534\t65534");
  EXPECT_EQ(service_->line(), "Gid:\t65534\t65534\t65534\t65534");
  EXPECT_EQ(service_->line(), "CapInh:\t0000000000000000");
  EXPECT_EQ(service_->line(), "CapPrm:\t0000000000000000");
  EXPECT_EQ(service_->line(), "CapEff:\t0000000000000000");
  EXPECT_EQ(join(root), "joined");
  EXPECT_EQ(join({nobody, nobody}), "joined");
  EXPECT_EQ(join(plain), "refused");
}

TEST_F(admission_rows, root_with_user_admits_that_users_group) {
  ASSERT_EQ(serve(root, nobody, {}, "nobody"), "serving");
  EXPECT_EQ(join({61000, nobody}), "joined");
  EXPECT_EQ(join({61000, 61000, {61000, nobody}}), "joined");
  EXPECT_EQ(join(plain), "refused");
  EXPECT_EQ(join(root), "joined");
}

TEST_F(admission_rows, root_with_user_admits_only_listed_users_of_its_group) {
  ASSERT_EQ(serve(root, nobody, {61001}, "nobody"), "serving");
  EXPECT_EQ(join({61000, nobody}), "refused");
  EXPECT_EQ(join({61001, nobody}), "joined");
  EXPECT_EQ(join({61001, 61001}), "refused");
}

TEST_F(admission_rows, an_unknown_or_unusable_user_is_reported) {
  EXPECT_EQ(serve(root, {}, {}, "no-such-user"), "there is no user 'no-such-user' on this machine");
  EXPECT_NE(serve(root, {}, {}, "root").find("is root"), std::string::npos);
  EXPECT_NE(serve(plain, {}, {}, "nobody").find("only root can become"), std::string::npos);
}

TEST_F(admission_rows, a_plain_user_admits_itself_and_root) {
  ASSERT_EQ(serve(plain), "serving");
  EXPECT_EQ(join(plain), "joined");
  EXPECT_EQ(join({61000, 61009}), "joined");
  EXPECT_EQ(join(root), "joined");
  EXPECT_EQ(join({61001, 61000}), "refused");
}

TEST_F(admission_rows, clients_of_a_plain_users_service_must_trust_it) {
  ASSERT_EQ(serve(inside, 62000), "serving");
  EXPECT_EQ(join(plain, {}), "joined") << "the service runs as the client's own user";
  EXPECT_EQ(join(root, {}), "refused");
  EXPECT_EQ(join(root, 61000), "joined");
  EXPECT_EQ(join({61001, 62000}, {}), "refused");
  EXPECT_EQ(join({61001, 62000}, 61000), "joined");
  ASSERT_EQ(serve(root, nobody, {}, "nobody"), "serving");
  EXPECT_EQ(join(root, {}), "refused") << "the service no longer runs as root";
  EXPECT_EQ(join(root, nobody), "joined");
}

TEST_F(admission_rows, a_plain_user_cannot_admit_a_group_it_is_not_in) {
  EXPECT_NE(serve(plain, 62000).find("is not in group 62000"), std::string::npos);
  EXPECT_NE(serve(plain, 62000, {61001}).find("is not in group 62000"), std::string::npos);
  EXPECT_NE(serve(plain, {}, {61001}).find("--allow-gid"), std::string::npos);
}

TEST_F(admission_rows, a_plain_user_admits_a_group_it_is_in) {
  ASSERT_EQ(serve(inside, 62000), "serving");
  EXPECT_EQ(join({61001, 62000}), "joined");
  EXPECT_EQ(join({61001, 61001, {62000}}), "joined");
  EXPECT_EQ(join({61001, 61000}), "refused");
  EXPECT_EQ(join(root), "joined");
  EXPECT_EQ(join(plain), "joined");
}

TEST_F(admission_rows, a_plain_user_admits_only_listed_users_of_its_group) {
  ASSERT_EQ(serve(inside, 62000, {61002}), "serving");
  EXPECT_EQ(join({61001, 62000}), "refused");
  EXPECT_EQ(join({61002, 62000}), "joined");
  EXPECT_EQ(join({61002, 61002}), "refused");
}

}  // namespace
}  // namespace cpgring::test
