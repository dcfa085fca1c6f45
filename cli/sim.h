/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SIM_H
#define CLI_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/api_client.h"
#include "client/faultline-client.h"

/* `faultline sim`: a fleet over real sockets, one thread. */
int cmd_sim(int argc, char **argv);

enum { SIM_DONE = 0, SIM_FAILED = 1, SIM_USAGE = 2, SIM_HOLD = 10, SIM_HALT = 11 };

#define SIM_RINGS_MAX 16

struct sim_options {
	const char *stream, *api, *token_file, *deployment, *module;
	uint64_t seed;
	unsigned hosts, connections, sites, batch, window;
	double rate;       /* background crashes per second, whole fleet */
	double serve_rate; /* hosts served per second */
	double load_rate;  /* load: reports per second; 0: as fast as they are acknowledged */
	double hazard;     /* chance that a host served the bad payload crashes */
	double delay_s;    /* mean time from serving to the crash */
	double interval_s, bake_s, ring_wait_s, duration_s;
	unsigned rings[SIM_RINGS_MAX]; /* hosts in each; resolved against hosts */
	unsigned n_rings, bad_ring;    /* bad_ring counts from 1; 0: every ring is good */
	int server_pid;                /* load: whose CPU time to show; 0: nobody's */
	bool json, quiet, load, bind;
	bool demo, force; /* demo: a mixed fleet and a story; force: also on a server that has other hosts */
	double pace;      /* demo: all pauses times this */
	char token[1100];
};

/* Latencies in microseconds; a sample of all once there are many. */
struct latencies {
	uint32_t *us;
	size_t n, cap;
	uint64_t seen, random;
};
void latencies_add(struct latencies *l, int64_t us);
uint32_t latencies_at(struct latencies *l, double quantile); /* sorts; 0 if empty */
void latencies_free(struct latencies *l);

/* ---- sim_fleet.c: hosts, their connections, crashes ---- */
struct fleet;

struct fleet_stats {
	uint64_t sent, acked, refused, beats, disconnects, crashed_hosts, crash_reports;
	unsigned connected;
};

struct fleet *fleet_new(const struct sim_options *o, char *err, size_t err_size);
void fleet_free(struct fleet *f);

/* Let the fleet live for ms: heartbeats, noise, crashes. */
void fleet_run(struct fleet *f, int ms);
void fleet_noise(struct fleet *f, bool on); /* background crashes */
void fleet_beat_all(struct fleet *f);       /* one heartbeat of every host now, then as the interval says */
bool fleet_settled(const struct fleet *f);  /* connected, and every report acknowledged */
void fleet_serve(struct fleet *f, unsigned host, unsigned ring, bool bad);
bool fleet_told_halted(const struct fleet *f); /* an ack named our deployment */
void fleet_host_id(const struct fleet *f, unsigned host, char out[32]);
const struct fleet_stats *fleet_stats(const struct fleet *f);
struct latencies *fleet_latencies(struct fleet *f);
uint64_t fleet_random(struct fleet *f);

void fleet_install(struct fleet *f, unsigned host, unsigned payload, bool on); /* demo: content it says it has */
void fleet_fix(struct fleet *f);     /* harmed hosts boot once more, and stay up */
void fleet_goodbye(struct fleet *f); /* every host says that it is shut down */

/* ---- sim_cast.c: who is in the demo, and what crashes there on any day ---- */
enum { SIM_LAPTOP, SIM_KIOSK, SIM_EDGE, SIM_PRODUCTS };
enum { SIM_CHANNEL_FILE, SIM_DISPLAY_DRIVER, SIM_PROXY, SIM_PAYLOADS };
extern const char *const sim_products[SIM_PRODUCTS];

struct sim_part {
	unsigned product;
	const char *site, *version, *os, *os_build, *hw_class;
};
void sim_cast(uint64_t seed, unsigned host, struct sim_part *out);

struct sim_crash {
	unsigned product;
	int kind;
	const char *module, *module_id;
	uint64_t offset;
	const char *reason;
	uint32_t reason_code;
};
const struct sim_crash *sim_ordinary(unsigned n); /* NULL after the last */

/* ---- sim_demo.c: a day of a fleet in two minutes, for the dashboard ---- */
int demo_run(const struct sim_options *o);

/* ---- sim_rollout.c: ring after ring, the verdict before each ---- */
struct rollout {
	const struct sim_options *o;
	struct fleet *fleet;
	struct api_client *api;
	int64_t start_us;      /* the first receipt */
	unsigned served, ring; /* hosts so far; the ring being served, from 1 */
	uint64_t harmed_at_halt;
	double halted_after_s; /* from the first receipt that held the bad payload */
	int64_t bad_start_us;
	char verdict[16], state[32], reason[512], signature[300];
};
int rollout_run(struct rollout *r); /* SIM_DONE, SIM_HALT, SIM_HOLD, SIM_FAILED */

/* ---- sim_load.c: as fast as acknowledged ---- */
int load_run(const struct sim_options *o);

/* ---- sim.c ---- */
void sim_say(const struct sim_options *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
