#include "cpg/request_line.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/hot.hpp"

namespace cpgring::cpg {

// --- asking

void request_line::ask(const encoded_request& what, base::time_point deadline, answer_function done) {
  controls_.push_back({what, last_position_, ++serial_, deadline, std::move(done), {}});
}

void request_line::ask_question(const encoded_request& what, base::time_point deadline, answer_function done,
                                answer_function late) {
  questions_.push_back({what, last_position_, ++serial_, deadline, std::move(done), std::move(late)});
}

void request_line::poke() {
  if (poking_ || connection_ == nullptr) {
    return;
  }
  poking_ = true;
  ++pokes_;
  ask(encode_local_get(), base::time_point::max(), [this](const result<answer_bytes>&) { poking_ = false; });
}

// --- writing

void request_line::stage_request(std::size_t bytes, const answer_format& answer, base::time_point deadline,
                                 answer_function done, answer_function late, bool without_user) {
  stage(bytes);
  const std::uint64_t token = pending_.add(deadline, std::move(done), without_user, std::move(late));
  connection_->answers().expect(static_cast<std::uint32_t>(answer.id), answer.size, token);
}

bool request_line::write_request(waiting& one, bool question) {
  const auto bytes = one.what.bytes();
  std::byte* const at = room_for_request(bytes.size(), one.what.answer().size);
  if (at == nullptr) {
    return false;
  }
  std::memcpy(at, bytes.data(), bytes.size());
  if (!question) {
    stage_request(bytes.size(), one.what.answer(), one.deadline, std::move(one.done), std::move(one.late));
    return true;
  }
  ++questions_sent_;
  stage_request(
      bytes.size(), one.what.answer(), one.deadline,
      [this, done = std::move(one.done)](const result<answer_bytes>& answer) {
        --questions_sent_;
        if (done) {
          done(answer);
        }
      },
      std::move(one.late));
  return true;
}

bool request_line::write_control() {
  if (!write_request(controls_.front(), false)) {
    return false;
  }
  controls_.pop_front();
  return true;
}

void request_line::write_questions(std::uint64_t front_position) {
  while (!questions_.empty() && questions_sent_ < questions_sent_max) {
    waiting& front = questions_.front();
    const bool behind_control = !controls_.empty() && controls_.front().serial < front.serial;
    if (behind_control || front_position <= front.behind || !write_request(front, true)) {
      return;
    }
    questions_.pop_front();
  }
}

CPGRING_HOT result<void> request_line::flush() {
  if (connection_ == nullptr || connection_->staged() == 0) {
    return {};
  }
  ++doorbells_;
  return connection_->flush();
}

// --- answers

result<void> request_line::take_answers() {
  if (pending_.empty()) {
    return {};
  }
  auto& answers = connection_->answers();
  ipc::answer one;
  for (;;) {
    switch (answers.next(one)) {
      case ipc::read_result::empty: return {};
      case ipc::read_result::broken: return fail(answers.fault());
      case ipc::read_result::frame: break;
    }
    if (!pending_.complete(one.token, answer_bytes(one.bytes.data, one.bytes.size))) {
      return fail(errc::malformed, "the service sent an answer without a request; this connection ended");
    }
  }
}

void request_line::expire(base::time_point now) {
  const auto why = [] { return fail(errc::timeout, "the service took no requests until the deadline"); };
  pending_.expire(now);
  std::vector<waiting> expired;  // a separate list, because a completion may make a new question
  std::erase_if(questions_, [&](waiting& one) {
    if (one.deadline > now) {
      return false;
    }
    expired.push_back(std::move(one));
    return true;
  });
  for (waiting& one : expired) {
    if (one.done) {
      one.done(why());
    }
    if (one.late) {
      one.late(why());
    }
  }
  for (std::size_t i = 0; i < controls_.size(); ++i) {  // they stay, because later requests depend on them
    if (controls_[i].done && controls_[i].deadline <= now) {
      std::exchange(controls_[i].done, nullptr)(why());
    }
  }
}

std::optional<base::time_point> request_line::next_deadline() const noexcept {
  std::optional<base::time_point> earliest = pending_.next_deadline();
  for (const waiting& one : questions_) {
    if (!earliest || one.deadline < *earliest) {
      earliest = one.deadline;
    }
  }
  return earliest;
}

// --- the end

void request_line::give_up(const error& why) {
  pending_.give_up(why);
  for (waiting& one : std::exchange(questions_, {})) {
    if (one.done) {
      one.done(fail(why));
    }
  }
  for (std::size_t i = 0; i < controls_.size(); ++i) {
    if (controls_[i].done) {
      std::exchange(controls_[i].done, nullptr)(fail(why));
    }
  }
}

void request_line::fail_all(const error& why) {
  reserved_ = more_to_write_ = false;
  pending_.fail_all(why);
  for (auto* all : {&controls_, &questions_}) {
    for (waiting& one : std::exchange(*all, {})) {
      if (one.done) {
        one.done(fail(why));
      }
    }
  }
}

}  // namespace cpgring::cpg
