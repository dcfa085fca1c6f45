/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "triage/unwind_sym.h"

#define DAMAGED    "a symbol file's unwind program that is damaged, or needs memory that is missing"
#define STACK_MAX  32
#define VARS_MAX   40
#define RULES_MAX  48
#define TOKENS_MAX 4096 /* of one program, and of all rules of a step */
#define SEARCH     3    /* words above where the return address should be, as the stack may have been aligned */

/* ---- names ---- */

#define REG_PC 32 /* of those below: the program counter, which has no number of its own */

static const struct reg_name {
	const char name[6];
	uint8_t reg;
} x86_names
	[] = { { "eax", 0 },
	       { "ecx", 1 },
	       { "edx", 2 },
	       { "ebx", 3 },
	       { "esp", 4 },
	       { "ebp", 5 },
	       { "esi", 6 },
	       { "edi", 7 },
	       { "eip", REG_PC },
	       /* as CodeView numbers them, which some program strings do */
	       { "17", 0 },
	       { "18", 1 },
	       { "19", 2 },
	       { "20", 3 },
	       { "21", 4 },
	       { "22", 5 },
	       { "23", 6 },
	       { "24", 7 },
	       { "", 0 } },
	x64_names[] = { { "rax", 0 },  { "rdx", 1 },  { "rcx", 2 },  { "rbx", 3 },  { "rsi", 4 },      { "rdi", 5 },
			{ "rbp", 6 },  { "rsp", 7 },  { "r8", 8 },   { "r9", 9 },   { "r10", 10 },     { "r11", 11 },
			{ "r12", 12 }, { "r13", 13 }, { "r14", 14 }, { "r15", 15 }, { "rip", REG_PC }, { "", 0 } },
	arm_names[] = { { "fp", 11 },     { "ip", 12 },      { "sp", 13 }, { "lr", 14 },
			{ "pc", REG_PC }, { "r15", REG_PC }, { "", 0 } },
	arm64_names[] = { { "fp", 29 }, { "lr", 30 }, { "sp", 31 }, { "pc", REG_PC }, { "", 0 } };

/* A number behind a letter: r4, x29. */
static int
numbered(struct text name, char letter, int limit)
{
	int n = 0;

	if (name.len < 2 || name.len > 3 || name.at[0] != letter)
		return -1;
	for (size_t i = 1; i < name.len; i++) {
		if (name.at[i] < '0' || name.at[i] > '9')
			return -1;
		n = 10 * n + (name.at[i] - '0');
	}
	return n < limit ? n : -1;
}

/* Number of a register by its name without '$', -1: it is none. */
static int
reg_of(enum triage_arch arch, struct text name)
{
	const struct reg_name *r = arch == TRIAGE_ARCH_X86   ? x86_names
				   : arch == TRIAGE_ARCH_X64 ? x64_names
				   : arch == TRIAGE_ARCH_ARM ? arm_names
							     : arm64_names;

	for (; r->name[0] != '\0'; r++)
		if (text_equal(name, text_of(r->name)))
			return r->reg;
	return arch == TRIAGE_ARCH_ARM     ? numbered(name, 'r', 15)
	       : arch == TRIAGE_ARCH_ARM64 ? numbered(name, 'x', 31)
					   : -1;
}

static struct text
without_dollar(struct text t)
{
	return t.len > 1 && t.at[0] == '$' ? (struct text){ t.at + 1, t.len - 1 } : t;
}

/* ---- programs ---- */

struct var {
	struct text name;
	uint64_t value;
};

struct machine {
	struct unwind *u;
	const struct unwind_frame *f; /* registers of the callee */
	uint64_t mask;                /* of a pointer */
	struct var vars[VARS_MAX];    /* what is no register, and registers that were assigned */
	unsigned n_vars;
	struct cell {
		struct text name; /* at NULL: a value */
		uint64_t value;
	} stack[STACK_MAX];
	unsigned depth;
};

static struct text
next_token(struct text *rest)
{
	struct text t = { NULL, 0 };

	while (rest->len > 0 && (*rest->at == ' ' || *rest->at == '\t' || *rest->at == '\r' || *rest->at == '\n'))
		rest->at++, rest->len--;
	t.at = rest->at;
	while (rest->len > 0 && *rest->at != ' ' && *rest->at != '\t' && *rest->at != '\r' && *rest->at != '\n')
		rest->at++, rest->len--, t.len++;
	return t;
}

static bool
set_var(struct machine *m, struct text name, uint64_t value)
{
	for (unsigned i = 0; i < m->n_vars; i++)
		if (text_equal(m->vars[i].name, name)) {
			m->vars[i].value = value & m->mask;
			return true;
		}
	if (m->n_vars == VARS_MAX)
		return false;
	m->vars[m->n_vars++] = (struct var){ name, value & m->mask };
	return true;
}

static bool
get_var(const struct machine *m, struct text name, uint64_t *out)
{
	for (unsigned i = 0; i < m->n_vars; i++)
		if (text_equal(m->vars[i].name, name)) {
			*out = m->vars[i].value;
			return true;
		}
	return false;
}

/* Value of a register of the callee or of a variable. */
static bool
value_of(const struct machine *m, struct text name, uint64_t *out)
{
	int reg;

	name = without_dollar(name);
	if (get_var(m, name, out))
		return true;
	reg = reg_of(m->u->arch, name);
	if (reg == REG_PC && m->u->arch != TRIAGE_ARCH_ARM64) {
		*out = m->f->pc;
		return true;
	}
	if (reg < 0 || reg >= REG_PC || !unwind_known(m->f, (unsigned)reg))
		return false;
	*out = m->f->r[reg];
	return true;
}

static bool
constant(struct text t, uint64_t *out)
{
	bool minus = t.len > 1 && t.at[0] == '-';
	uint64_t v = 0;

	for (size_t i = minus; i < t.len; i++) {
		if (t.at[i] < '0' || t.at[i] > '9' || v > (UINT64_MAX - 9) / 10)
			return false;
		v = 10 * v + (uint64_t)(t.at[i] - '0');
	}
	*out = minus ? 0 - v : v;
	return t.len > 0;
}

static bool
pop(struct machine *m, uint64_t *out)
{
	struct cell c;

	if (m->depth == 0)
		return false;
	c = m->stack[--m->depth];
	*out = c.value;
	return c.name.at == NULL || value_of(m, c.name, out);
}

static bool
push(struct machine *m, struct cell c)
{
	if (m->depth == STACK_MAX)
		return false;
	c.value &= m->mask;
	m->stack[m->depth++] = c;
	return true;
}

static bool
binary(struct machine *m, char op)
{
	uint64_t a, b, v;

	if (!pop(m, &b) || !pop(m, &a) || ((op == '/' || op == '%' || op == '@') && b == 0))
		return false;
	if (op == '@') { /* down to a multiple of a power of two */
		if ((b & (b - 1)) != 0)
			return false;
		v = a & ~(b - 1);
	} else {
		v = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : op == '/' ? a / b : a % b;
	}
	return push(m, (struct cell){ .value = v });
}

static bool
operate(struct machine *m, char op)
{
	struct cell target;
	uint64_t v;

	switch (op) {
	case '^':
		return pop(m, &v) && unwind_pointer(m->u, v, &v) && push(m, (struct cell){ .value = v });
	case '=':
		if (!pop(m, &v) || m->depth == 0)
			return false;
		target = m->stack[--m->depth];
		return target.name.at != NULL && set_var(m, without_dollar(target.name), v);
	default:
		return binary(m, op);
	}
}

/* Run a program; assign: it may set variables. */
static bool
run(struct machine *m, struct text program, bool assign)
{
	struct text t;
	uint64_t v;

	m->depth = 0;
	for (unsigned n = 0; (t = next_token(&program)).len > 0; n++) {
		if (n == TOKENS_MAX || !unwind_work(m->u, 1))
			return false;
		if (assign && t.len > 1 && t.at[0] == '=') { /* some writers put no space behind it */
			if (!operate(m, '='))
				return false;
			t = (struct text){ t.at + 1, t.len - 1 };
		}
		if (t.len == 1 && memchr("+-*/%@^=", t.at[0], 8) != NULL) {
			if ((t.at[0] == '=' && !assign) || !operate(m, t.at[0]))
				return false;
		} else if (constant(t, &v)) {
			if (!push(m, (struct cell){ .value = v }))
				return false;
		} else if (!push(m, (struct cell){ .name = t })) {
			return false;
		}
	}
	return true;
}

static bool
evaluate(struct machine *m, struct text expression, uint64_t *out)
{
	return run(m, expression, false) && m->depth == 1 && pop(m, out);
}

static void
machine_init(struct machine *m, struct unwind *u, const struct unwind_frame *f)
{
	m->u = u;
	m->f = f;
	m->mask = u->width == 4 ? UINT32_MAX : UINT64_MAX;
	m->n_vars = m->depth = 0;
}

/* ---- what both end with ---- */

/* Without pointer authentication bits. */
static uint64_t
strip(const struct unwind *u, uint64_t p)
{
	uint64_t mask = (UINT64_C(1) << 47) - 1, top = module_index_top(u->mi);

	if (u->arch != TRIAGE_ARCH_ARM64)
		return p;
	while (mask < top)
		mask = mask << 1 | 1;
	return p & mask;
}

static enum unwind_outcome
finish(struct unwind *u, const struct unwind_frame *f, struct unwind_frame *next, struct unwind_frame *caller)
{
	unsigned sp = unwind_sp(u->arch);
	bool leaf = f->exact && (u->arch == TRIAGE_ARCH_ARM || u->arch == TRIAGE_ARCH_ARM64);

	next->pc = strip(u, next->pc);
	if (next->pc == 0)
		return UNWIND_OUTERMOST;
	next->exact = false;
	next->trust = TRIAGE_TRUST_CFI;
	if (next->r[sp] < f->r[sp] || (next->r[sp] == f->r[sp] && (!leaf || next->pc == f->pc)))
		return unwind_damaged(u, DAMAGED);
	if (!unwind_is_return(u, next->pc))
		return UNWIND_UNKNOWN;
	*caller = *next;
	return UNWIND_CALLER;
}

/* What a call leaves as it was. */
static uint64_t
kept(enum triage_arch arch, enum triage_os os)
{
	switch (arch) {
	case TRIAGE_ARCH_X86:
		return 0xe8; /* ebx, ebp, esi, edi */
	case TRIAGE_ARCH_X64:
		return 0xf048 | (os == TRIAGE_OS_WINDOWS ? 0x30 : 0); /* rbx, rbp, r12 … r15; rsi, rdi */
	case TRIAGE_ARCH_ARM:
		return 0xff0; /* r4 … r11 */
	default:
		return UINT64_C(0x3ff80000); /* x19 … x29 */
	}
}

/* ---- STACK CFI ---- */

struct rule {
	struct text name, expression;
};

/* Rules of a text, added to those that are there; a rule for the same name is replaced. */
static bool
read_rules(struct unwind *u, struct text text, struct rule *rules, unsigned *n)
{
	struct rule *now = NULL;
	struct text t;
	unsigned i, tokens = 0;

	while ((t = next_token(&text)).len > 0) {
		if (++tokens > TOKENS_MAX || !unwind_work(u, 1))
			return false;
		if (t.len > 1 && t.at[t.len - 1] == ':') {
			t = without_dollar((struct text){ t.at, t.len - 1 });
			for (i = 0; i < *n && !text_equal(rules[i].name, t); i++)
				;
			if (i == RULES_MAX)
				return false;
			if (i == *n)
				++*n;
			now = &rules[i];
			*now = (struct rule){ t, { text.at, 0 } };
		} else if (now == NULL) {
			return false;
		} else {
			now->expression.len = (size_t)(t.at + t.len - now->expression.at);
		}
	}
	return true;
}

static bool
rule_value(struct machine *m, const struct rule *rules, unsigned n, struct text name, uint64_t *out)
{
	for (unsigned i = 0; i < n; i++)
		if (text_equal(rules[i].name, name))
			return evaluate(m, rules[i].expression, out);
	return false;
}

enum unwind_outcome
unwind_cfi_rules(struct unwind *u, const struct unwind_frame *f, const struct text *texts, size_t n_texts,
		 struct unwind_frame *caller)
{
	unsigned n = 0, sp = unwind_sp(u->arch);
	struct unwind_frame next = { .known = 0 };
	struct rule rules[RULES_MAX];
	struct machine m;
	uint64_t cfa, v;

	machine_init(&m, u, f);
	for (size_t i = 0; i < n_texts; i++)
		if (!read_rules(u, texts[i], rules, &n))
			return unwind_damaged(u, DAMAGED);
	if (!rule_value(&m, rules, n, TEXT(".cfa"), &cfa) || !set_var(&m, TEXT(".cfa"), cfa) ||
	    !rule_value(&m, rules, n, TEXT(".ra"), &next.pc))
		return unwind_damaged(u, DAMAGED);
	memcpy(next.r, f->r, sizeof(next.r));
	next.known = f->known & kept(u->arch, u->os);
	unwind_set(&next, sp, cfa);
	for (unsigned i = 0; i < n; i++) {
		int reg = reg_of(u->arch, rules[i].name);

		if (reg < 0 || reg == REG_PC)
			continue;
		next.known &= ~(UINT64_C(1) << reg); /* a rule that cannot be followed: not known */
		if (evaluate(&m, rules[i].expression, &v))
			unwind_set(&next, (unsigned)reg, v);
	}
	return unwind_known(&next, sp) ? finish(u, f, &next, caller) : unwind_damaged(u, DAMAGED);
}

static bool
hex(struct text t, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < t.len; i++) {
		char c = (char)(t.at[i] | 0x20);
		unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
			     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
						    : 16;

		if (d > 15 || v >> 60 != 0)
			return false;
		v = v << 4 | d;
	}
	*out = v;
	return t.len > 0;
}

/* The lines of deltas that apply at offset, as far as there is room for them. */
static bool
pick_deltas(struct text deltas, uint64_t offset, struct text *out, size_t *n, size_t max)
{
	while (deltas.len > 0) {
		const char *end = memchr(deltas.at, '\n', deltas.len);
		struct text line = { deltas.at, end != NULL ? (size_t)(end - deltas.at) : deltas.len };
		uint64_t at;

		deltas.at += line.len + (end != NULL);
		deltas.len -= line.len + (end != NULL);
		next_token(&line); /* STACK */
		next_token(&line); /* CFI */
		if (!hex(next_token(&line), &at) || at > offset)
			return true;
		if (*n == max)
			return false;
		out[(*n)++] = line;
	}
	return true;
}

/* ---- STACK WIN ---- */

/* Where the return address is: where the sizes say, or up to SEARCH words above it. */
static uint32_t
find_return(struct unwind *u, const struct unwind_frame *f, const struct symfile_win *win)
{
	uint32_t start = (uint32_t)f->r[UNWIND_X86_SP] + f->callee_parameters + win->locals + win->saved, at = start;
	uint64_t v;

	for (unsigned i = 0; i < SEARCH; i++, at += 4) {
		if (!unwind_uint(u, at, 4, &v))
			break;
		/* a system call that has returned left its own address there */
		if (i == 0 && f->exact && win->type == 0 && v == f->pc)
			continue;
		if (unwind_is_return(u, v))
			return at;
	}
	return start;
}

/* Without a program string: the return address, and where a saved base pointer is. */
static struct text
fpo_program(const struct symfile_win *win)
{
	if (win->allocates_bp)
		return TEXT("$eip .raSearchStart ^ = $ebp $esp .cbCalleeParams + .cbSavedRegs + 8 - ^ = "
			    "$esp .raSearchStart 4 + =");
	return TEXT("$eip .raSearchStart ^ = $esp .raSearchStart 4 + =");
}

enum unwind_outcome
unwind_win(struct unwind *u, const struct unwind_frame *f, const struct symfile_win *win, struct unwind_frame *caller)
{
	static const struct reg_name *const names = x86_names;
	struct unwind_frame next = { .known = 0 };
	struct machine m;
	uint32_t ra = find_return(u, f, win);
	uint64_t v;

	machine_init(&m, u, f);
	if (!set_var(&m, TEXT(".cbParams"), win->parameters) ||
	    !set_var(&m, TEXT(".cbCalleeParams"), f->callee_parameters) ||
	    !set_var(&m, TEXT(".cbSavedRegs"), win->saved) || !set_var(&m, TEXT(".cbLocals"), win->locals) ||
	    !set_var(&m, TEXT(".raSearchStart"), ra) || !set_var(&m, TEXT(".raSearch"), ra) ||
	    !run(&m, win->has_program ? win->program : fpo_program(win), true) || !get_var(&m, TEXT("eip"), &next.pc) ||
	    !get_var(&m, TEXT("esp"), &v))
		return unwind_damaged(u, DAMAGED);
	unwind_set(&next, UNWIND_X86_SP, v);
	/* what was not assigned is as it was if nothing was saved; ebp that is not named was not touched */
	if (unwind_known(f, UNWIND_X86_BP))
		unwind_set(&next, UNWIND_X86_BP, f->r[UNWIND_X86_BP]);
	for (unsigned i = 0; win->saved == 0 && i < 8; i++)
		if (i != UNWIND_X86_SP && kept(TRIAGE_ARCH_X86, u->os) >> i & 1 && unwind_known(f, i))
			unwind_set(&next, i, f->r[i]);
	for (unsigned i = 0; names[i].name[0] != '\0'; i++)
		if (names[i].reg != REG_PC && names[i].reg != UNWIND_X86_SP && get_var(&m, text_of(names[i].name), &v))
			unwind_set(&next, names[i].reg, v);
	next.callee_parameters = win->parameters;
	return finish(u, f, &next, caller);
}

/* ---- the step ---- */

static enum unwind_outcome
step_sym(struct unwind *u, const struct unwind_frame *f, int32_t module, struct unwind_frame *caller)
{
	struct symfile *s = module >= 0 && unwind_sp(u->arch) != 0 ? unwind_symfile(u, module) : NULL;
	enum unwind_outcome outcome;
	struct text texts[64];
	struct symfile_cfi cfi;
	struct symfile_win win;
	uint64_t offset;
	size_t n = 1;

	if (s == NULL)
		return UNWIND_UNKNOWN;
	offset = unwind_lookup_pc(u->arch, f) - u->mi->modules[module].base;
	if (u->arch == TRIAGE_ARCH_X86 && symfile_win(s, offset, &win)) {
		outcome = unwind_win(u, f, &win, caller);
		if (outcome != UNWIND_DAMAGED && outcome != UNWIND_UNKNOWN)
			return outcome;
	}
	if (!symfile_cfi(s, offset, &cfi))
		return UNWIND_UNKNOWN;
	texts[0] = cfi.rules;
	if (!pick_deltas(cfi.deltas, offset, texts, &n, sizeof(texts) / sizeof(texts[0])))
		return unwind_damaged(u, DAMAGED);
	return unwind_cfi_rules(u, f, texts, n, caller);
}

const struct unwinder unwinder_sym = { "sym", step_sym };
