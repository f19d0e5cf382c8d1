// A finished run of `shadowserve sim nic`, and the three ways to show it: tables, JSON, a picture.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "sim/nic/paper_study.h"

namespace shadowserve {

void print_study(const nic::Study& study, std::FILE* out);
nlohmann::ordered_json study_json(const nic::Study& study, const std::string& commit);
/// TTFT and loaded TPOT against the link's rate, ShadowServe and CacheGen-Async, one panel each.
std::string study_svg(const nic::Study& study, const std::string& commit);

}  // namespace shadowserve
