#include "train/metrics.h"

#include "base/file.h"

namespace stemma {

Json Metric::to_json() const {
  Json json = Json::object(
      {{"step", step}, {"tokens", tokens}, {"epoch", epoch}, {"split", split}, {"loss", loss}});
  if (training()) {
    json.set("lr", lr);
    json.set("grad_norm", grad_norm);
    json.set("tok_s", tok_s);
    if (share_of_peak) json.set("share_of_peak", *share_of_peak);
  }
  json.set("ts", ts);
  return json;
}

Metric Metric::from_json(const Json& json) {
  Metric m;
  m.step = json.at("step").as_int();
  m.tokens = json.get("tokens", int64_t{0});
  m.epoch = json.get("epoch", 0.0);
  m.split = json.at("split").as_string();
  m.loss = json.at("loss").as_double();
  m.lr = json.get("lr", 0.0);
  m.grad_norm = json.get("grad_norm", 0.0);
  m.tok_s = json.get("tok_s", 0.0);
  if (json.has("share_of_peak")) m.share_of_peak = json.at("share_of_peak").as_double();
  m.ts = json.get("ts", 0.0);
  return m;
}

MetricsLog::MetricsLog(std::filesystem::path path, int64_t last_step) : path_(std::move(path)) {
  std::string kept;
  if (std::filesystem::exists(path_)) {
    const std::string text = read_file(path_);
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) {
      const std::string line = text.substr(begin, end - begin);
      try {
        Metric metric = Metric::from_json(Json::parse(line, path_.string()));
        if (metric.step > last_step) continue;
        metrics_.push_back(std::move(metric));
        kept += line + "\n";
      } catch (const Error&) {
        continue;
      }
    }
  }
  write_file(path_, kept);
  file_.open(path_, std::ios::app | std::ios::binary);
  check(file_.is_open(), "[train] cannot write ", path_.string());
}

void MetricsLog::add(const Metric& metric) {
  file_ << metric.to_json().dump() << '\n' << std::flush;
  check(file_.good(), "[train] cannot write ", path_.string(), ": is the disk full?");
  metrics_.push_back(metric);
}

}  // namespace stemma
