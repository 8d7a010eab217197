// Accepted uids of a service: 0, the client's own, or the one named by the option; no other.
#include <unistd.h>

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "ipc/handshake.hpp"
#include "support/as_uid.hpp"
#include "unit/ipc/fake_service.hpp"
#include "unit/ipc/no_leak.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;
using cpgring::test::as_uid;

constexpr uid_t plain = 1000, other = 2000, overflow = 65534;

struct service_uid : ::testing::Test {
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "only root can change its uid";
    }
  }
  static fake_service listen_as(uid_t uid) {
    const as_uid who(uid);
    return fake_service();
  }
  /// The result for a client of uid `client`.
  static result<handshake> connect(const fake_service& to, uid_t client,
                                   std::optional<uid_t> allowed = std::nullopt) {
    const as_uid who(client);
    auto h = handshake::begin(to.name(), 16384, true, allowed);
    if (!h) {
      return h;
    }
    if (const auto step = h->advance(); !step) {
      return fail(step.error());
    }
    return h;
  }
  static void expect_refused(const result<handshake>& h, std::initializer_list<const char*> words) {
    ASSERT_FALSE(h);
    EXPECT_EQ(h.error(), errc::access) << h.error().message();
    for (const char* one : words) {
      EXPECT_NE(h.error().text.find(one), std::string::npos) << one << " is not in: " << h.error().text;
    }
  }
};

TEST_F(service_uid, of_a_plain_user_is_refused_by_root_with_a_remedy) {
  const no_leak none;
  const auto service = listen_as(plain);
  expect_refused(connect(service, 0),
                 {service.name().c_str(), "run by uid 1000", "this process by uid 0",
                  "handle_options::service_uid", "--service-uid 1000", "CPGRING_LIBCPG_SERVICE_UID=1000"});
  const auto refused = connect(service, 0);
  EXPECT_EQ(refused.error().text.find("namespace"), std::string::npos) << refused.error().text;
}

TEST_F(service_uid, of_a_plain_user_is_accepted_when_named_by_the_option) {
  const no_leak none;
  const auto service = listen_as(plain);
  EXPECT_TRUE(connect(service, 0, plain));
  expect_refused(connect(service, 0, other), {"run by uid 1000", "of its own uid and of uid 2000"});
}

TEST_F(service_uid, of_a_plain_user_is_accepted_only_by_the_same_user) {
  const no_leak none;
  const auto service = listen_as(plain);
  EXPECT_TRUE(connect(service, plain));
  expect_refused(connect(service, other), {"run by uid 1000", "this process by uid 2000"});
}

TEST_F(service_uid, of_root_is_accepted_by_all_users) {
  const no_leak none;
  const auto service = listen_as(0);
  EXPECT_TRUE(connect(service, 0));
  EXPECT_TRUE(connect(service, plain));
  EXPECT_TRUE(connect(service, 0, plain));
}

TEST_F(service_uid, of_the_overflow_user_hints_at_user_namespaces) {
  const no_leak none;
  const auto service = listen_as(overflow);
  expect_refused(connect(service, 0), {"run by uid 65534", "another user namespace"});
}

TEST_F(service_uid, is_checked_before_the_request_is_sent) {
  const no_leak none;
  auto service = listen_as(plain);
  expect_refused(connect(service, 0), {});
  service.accept();
  EXPECT_EQ(service.request().size(), 0U);
}

/// Rings whose files belong to `owner`.
struct owned_rings {
  explicit owned_rings(uid_t owner) {
    for (const raw_ring* one : {&request, &response, &event}) {
      EXPECT_EQ(::chown(one->header_path().c_str(), owner, 0), 0);
      EXPECT_EQ(::chown(one->data_path().c_str(), owner, 0), 0);
    }
    answer.name(fake_answer::names[0], request.base());
    answer.name(fake_answer::names[1], response.base());
    answer.name(fake_answer::names[2], event.base());
  }
  raw_ring request{20480}, response{20480}, event{20480};
  fake_answer answer;
};

result<connection> opened(fake_service& service, const owned_rings& rings, result<handshake> h,
                          uid_t client) {
  if (!h) {
    return fail(h.error());
  }
  const as_uid who(client);
  service.accept();
  service.send(rings.answer.text());
  if (const auto step = h->advance(); !step) {
    return fail(step.error());
  }
  return h->finish();
}

struct files_case {
  uid_t service, client, owner;
  bool taken;
};

TEST_F(service_uid, limits_the_owners_of_ring_files) {
  for (const auto& [service_of, client, owner, taken] : {files_case{0, 0, 0, true},
                                                         {0, plain, plain, true},
                                                         {0, 0, plain, false},
                                                         {plain, plain, plain, true},
                                                         {plain, 0, plain, true},
                                                         {plain, 0, 0, false},
                                                         {plain, 0, other, false}}) {
    const no_leak none;
    const owned_rings rings(owner);
    auto service = listen_as(service_of);
    const auto made = opened(service, rings, connect(service, client, service_of), client);
    EXPECT_EQ(made.has_value(), taken)
        << service_of << ' ' << client << ' ' << owner << ' ' << (made ? "" : made.error().message());
    if (!made) {
      EXPECT_EQ(made.error(), errc::malformed) << made.error().message();
      EXPECT_NE(made.error().text.find("belongs to uid"), std::string::npos) << made.error().text;
    }
  }
}

}  // namespace
