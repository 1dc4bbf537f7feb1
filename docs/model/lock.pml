/* The lock protocol of Drydock, for spin 6.5. README.md says what is modelled
 * and what each bound leaves open; check.sh runs it.
 *
 * One step of a process is one durable write, one act on the world, or one
 * look: an agent may die and a machine may be reset between any two of them.
 * "row n" is the row of the order of durable writes in docs/design.md; names
 * with a capital are the Go functions that a step stands for. There is no
 * clock: a wait is a guard that what is waited for has landed or cannot land
 * any more. Each MISTAKE_… takes one rule out, each WINDOW_… asks for what ECS
 * leaves open; with any of them a run must fail. */

#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef MAXFAIL
#define MAXFAIL 1
#endif
#ifndef HOSTS
#define HOSTS 3
#endif
#ifndef GRANTS
#define GRANTS 3	/* grants in one run, at most 7 */
#endif
#ifndef FAULTS
#define FAULTS 2	/* faults in one run, of the kinds that are switched on */
#endif
#ifndef OPS
#define OPS 0		/* acts of people in one run, of the kinds switched on */
#endif
#define GOOD 0		/* the release boots well */
#define FALLS 1		/* … does not boot: the host falls back */
#define ILL 2		/* … boots and is not healthy */
#ifndef FATE
#define FATE GOOD
#endif

/* Phases of a holder in the record; 0 is no holder. */
#define GRANTED 1
#define DRAINING 2
#define REBOOTING 3
#define VERIFYING 4
#define SICK 5

/* Results of an update; 2 to 5 count as failures. */
#define UPDATED 1
#define FELL_BACK 2
#define INTERRUPTED 3
#define NOT_REBOOTED 4
#define UNHEALTHY 5
#define TURNED_BACK 6	/* and drain_timed_out: the same to the lock */
#define IS_FAILURE(o) ((o) >= FELL_BACK && (o) <= UNHEALTHY)

/* ECS status of a container instance, with who drained it. */
#define ACTIVE 0
#define OURS 1		/* DRAINING by Drydock */
#define THEIRS 2	/* DRAINING by a person, and Drydock must respect it */
#define EITHER 3	/* DRAINING by a person while nobody can tell it from ours */

/* Rules of the record (coordination/rules.go) that a write may be of. */
#define NONE 0
#define GRANT 1
#define ASSERT_D 2	/* Reassert, phase draining */
#define ASSERT_R 3	/* Reassert, phase rebooting */
#define FAIL 4
#define RETURN 5

/* Where an agent is. Each is the next thing that it does. */
#define START 0		/* start, Resume */
#define IDLE 1		/* check, stage, queue */
#define G_WRITE 2	/* claim: Apply(Grant) */
#define G_READ 3
#define DUTY 4		/* takeDuty */
#define D_READ 5	/* reassert before the drain */
#define D_WRITE 6
#define D_LOOK 7	/* beginDrain: look, and the note of callDrain */
#define D_CALL 8	/* the call itself */
#define D_ANSWER 9	/* the note that it was answered */
#define TASKS 10	/* watchTasks */
#define R_READ 11	/* reboot: reassert */
#define R_WRITE 12
#define R_NOTE 13	/* lastLook, note activating */
#define R_ACT 14	/* activate */
#define R_ARM 15	/* lastLook, note armed */
#define R_REQ 16	/* Reboot */
#define R_WAIT 17	/* awaitReboot */
#define A_READ 18	/* askAgain */
#define A_WRITE 19
#define A_ARM 20
#define VERIFY 21	/* verify */
#define S_NOTE 22	/* nurse: note the outcome */
#define NURSE 23
#define S_WRITE 24	/* publishSickness */
#define U_NOTE 25	/* undo: outcome */
#define U_DISARM 26	/* disarm */
#define U_DEACT 27	/* deactivate */
#define U_CLEAR 28	/* clear activating */
#define B_ACT 29	/* backInService: setActive, or a look */
#define B_NOTE 35	/* note that ECS accepted it */
#define L_LOOK 30	/* lateDrainLook */
#define N_REST 31	/* note restored */
#define T_READ 32	/* returnSlot */
#define T_WRITE 33
#define CLEAR 34	/* endDuty */

typedef Host {
	/* the intent file (agent/intent.go) */
	unsigned duty : 1;
	unsigned gen : 3;	/* before the duty is written: in memory alone */
	unsigned calls : 2;	/* DrainCalls */
	unsigned open : 2;	/* DrainOpen */
	unsigned saw : 1;	/* Drained: seen DRAINING while a call was open */
	unsigned acting : 1;	/* Activating */
	unsigned armed : 1;
	unsigned out : 3;	/* Outcome */
	unsigned made : 1;	/* MadeActive */
	unsigned restored : 1;
	unsigned adopted : 1;
	unsigned seen : 1;	/* Seen is this boot */
	unsigned asks : 2;
	unsigned lost : 1;	/* memoryless */
	/* the process */
	unsigned pc : 6;
	unsigned proof : 1;	/* proven() */
	unsigned asked : 1;
	unsigned told : 1;	/* update.published */
	unsigned res : 3;	/* State.Result */
	unsigned own : 1;	/* the grant is that of the Apply under way */
	unsigned fresh : 1;	/* the nonce read is still the record's */
	/* the machine */
	unsigned new : 1;	/* runs the target */
	unsigned next : 1;	/* the target is next to boot */
	unsigned req : 1;	/* a reboot request is alive */
	unsigned again : 1;	/* booted since the duty was taken */
	unsigned ill : 1;
	unsigned gone : 1;	/* terminated */
	/* ECS */
	unsigned ecs : 2;
	unsigned call : 1;	/* a DRAINING call under way */
	unsigned acall : 1;	/* an ACTIVE call under way */
	/* the holder entry in the record */
	unsigned ph : 3;
	unsigned rgen : 3;
	unsigned stuck : 1;
	unsigned back : 1;	/* Holder.Restore */
	/* seen by the judge alone */
	unsigned tried : 1;	/* booted or tried the release since the last word of an operator */
	unsigned fell : 1;	/* fell back after it was armed … */
	unsigned known : 1;	/* … by a file that is still there */
	unsigned rested : 1;	/* *restored* was or should have been noted */
	unsigned veto : 1;	/* a person took back a drain that was seen to be there */
}

Host h[HOSTS];

/* The rest of the record. A generation names its host, so the sets of
 * (host, generation) are masks over generations. The nonce is not stored: all
 * that matters is whether a write came since a read, see fresh and wrote. */
unsigned gens : 3;
byte fails;		/* failures */
byte others;		/* those of them that a watcher or an operator left there */
bit refused, halt;
unsigned fl : 3;	/* one write of a host that is still under way, … */
unsigned fl_host : 2;
unsigned fl_gen : 3;
unsigned fl_out : 3;
bit fl_own;

bit cut;		/* the table does not answer */
bit old;		/* what stops the fleet has done so for a minute */
#ifdef MISTAKE_MARK_IN_TWO_WRITES
byte owing;		/* failures of holders that are marked */
#endif
byte shown;		/* failures that an operator looks at, … */
byte shown_worded;	/* … and those of them that were the host's own word */
byte worded;		/* judge: failures that a host itself has counted, … */
byte good;		/* … updates that ended well, or were turned back, … */
byte acted;		/* … those that got to the reboot, … */
byte taken;		/* … those whose slot was taken away … */
bit allowed;		/* … and that a refusal was lifted */
unsigned touched : 2;	/* hosts are interchangeable: they come in order */
unsigned faults : 3 = FAULTS;
unsigned ops : 3 = OPS;

#if HOSTS == 2
#define EACH(f) (f(0) + f(1))
#define ALL(x) h[0].x = 0; h[1].x = 0
#else
#define EACH(f) (f(0) + f(1) + f(2))
#define ALL(x) h[0].x = 0; h[1].x = 0; h[2].x = 0
#endif
#define IS_HOLDER(j) (h[j].ph != 0)
#define IS_NOT_STUCK(j) (h[j].ph != 0 && !h[j].stuck)
#define IS_OUT(j) (h[j].ecs == OURS)
#define IS_TRIED(j) h[j].tried
#define IN_ACT(j) (h[j].pc == D_CALL || h[j].pc == R_REQ)
#define IS_UP(j) (!h[j].gone)

#define BIT(g) (1 << (g))
#define me h[i]
#define MINE (me.ph != 0 && me.rgen == me.gen)

#if MAXFAIL == 1
#define TOO_MANY (fails != 0)
#else
#define TOO_MANY ((fails & (fails - 1)) != 0)
#endif
#define HALTED (halt || TOO_MANY)
#define STOPPED (HALTED || refused)
#ifdef MISTAKE_HALT_NOT_IN_GUARD
#define GUARD_HALT false
#else
#define GUARD_HALT HALTED
#endif
#ifdef MISTAKE_REFUSAL_NOT_IN_GUARD
#define GUARD_REFUSED false
#else
#define GUARD_REFUSED refused
#endif
#if defined(MISTAKE_SLOTS_NOT_IN_GUARD)
#define FITS true
#elif defined(MISTAKE_STUCK_FREES_SLOT)
#define FITS (EACH(IS_NOT_STUCK) < SLOTS)
#else
#define FITS (EACH(IS_HOLDER) < SLOTS)
#endif
/* mayStart */
#define MAY_START (!GUARD_HALT && !GUARD_REFUSED)
/* Reassert */
#ifdef MISTAKE_STUCK_NOT_IN_GUARD
#define GUARD_STUCK false
#else
#define GUARD_STUCK me.stuck
#endif
#ifdef MISTAKE_RECALL_NOT_IN_GUARD
#define GUARD_BACK false
#else
#define GUARD_BACK me.back
#endif
#define DENIED (!MINE || GUARD_STUCK || me.ph == SICK || GUARD_BACK || !MAY_START)

/* judgeReturn: an arming that was adopted is a guess and proves nothing. */
#ifdef MISTAKE_ADOPTED_ARMING_PROVES
#define PROOF me.armed
#else
#define PROOF (me.armed && !me.adopted)
#endif

/* A result of the boot before says nothing of a boot with the release still
 * activated: that is judged like any other. */
#define BEFORE_REBOOT(o) ((o) == NOT_REBOOTED || (o) == TURNED_BACK)
#if defined(MISTAKE_OUTCOME_OF_AN_EARLIER_BOOT)
#define JUDGE_AGAIN false
#elif defined(MISTAKE_EARLIER_OUTCOME_HIDES_FALLBACK)
#define JUDGE_AGAIN (BEFORE_REBOOT(me.out) && me.acting && me.new)
#else
#define JUDGE_AGAIN (BEFORE_REBOOT(me.out) && me.acting)
#endif

/* Lift: what resume takes away. */
#define UNSEEN ((fails & ~shown) | (fails & worded & ~shown_worded))
#if defined(MISTAKE_RESUME_TAKES_ALL)
#define LIFTED fails
#elif defined(MISTAKE_RESUME_TAKES_WHAT_CAME_IN_ITS_PLACE)
#define LIFTED (fails & shown)
#else
#define LIFTED (fails & ~UNSEEN)
#endif

#ifdef MISTAKE_FREED_SICK_COUNTS_AGAIN
#define FREED_COUNTS true
#elif defined(MISTAKE_FREED_STUCK_COUNTS_NOT)
#define FREED_COUNTS (me.ph != SICK && !me.stuck)
#else
#define FREED_COUNTS (me.ph != SICK)
#endif

/* Return: what is still to be written. Of a slot that was taken away it is what
 * the host knows better, and a refusal that nothing else tells of. */
#ifdef MISTAKE_FREED_FALLBACK_UNTOLD
#define UNTOLD false
#else
#define UNTOLD (me.out == FELL_BACK && !refused && !(fails & BIT(me.gen)))
#endif
#ifdef MISTAKE_FAILURE_COUNTED_TWICE
#define OWED (MINE || (fails & others & BIT(me.gen)) || IS_FAILURE(me.out) && !(fails & BIT(me.gen)))
#else
#define OWED (MINE || (fails & others & BIT(me.gen)) || (fails & BIT(me.gen)) && !IS_FAILURE(me.out) || UNTOLD)
#endif

/* Waits. */
#ifdef MISTAKE_ROW8_WAITS_FOR_TABLE
#define MAY_VERIFY !cut
#else
#define MAY_VERIFY true
#endif
#ifdef MISTAKE_RESTORE_WAITS_FOR_TABLE
#define MAY_RESTORE !cut
#else
#define MAY_RESTORE true
#endif
#ifdef MISTAKE_NO_LATE_LOOK
#define DRAINS_ARE_OVER true
#else
#define DRAINS_ARE_OVER !(me.open > 0 && me.calls > 0 && me.call)
#endif
#ifdef MISTAKE_LATE_ACTIVE_NOT_WAITED_FOR
#define ACTIVES_ARE_OVER true
#else
#define ACTIVES_ARE_OVER !me.acall
#endif
#ifdef MISTAKE_ACTIVE_NOT_NOTED
#define NOTED false
#else
#define NOTED true
#endif
#ifdef MISTAKE_PHASE_GOES_BACK
#define AGAIN_REBOOTING false
#else
#define AGAIN_REBOOTING me.acting
#endif
#ifdef MISTAKE_DRAINS_AGAIN
#define SAW false
#else
#define SAW me.saw
#endif
#ifdef MISTAKE_FREED_WITHOUT_EVIDENCE
#define EVIDENCE true
#else
#define EVIDENCE me.gone
#endif
#ifdef RELEASE_GONE
#define RELEASABLE me.gone
#else
#define RELEASABLE true
#endif

/* ---- claims: what must hold, each with the number by which check.sh names it ---- */

#define claim(n, holds) assert((holds) || n == 0)

/* promise 1 */
#define OUT_HAS_SLOT 101		/* who is out because of Drydock has a slot, and at most N are out */
#define SLOT_GOES_LAST 102		/* no slot is returned by a host that is out */
/* promise 2 */
#define IN_SERVICE 103			/* at rest: nobody is drained but the sick and the blind */
#define NOBODY_WAITS 104		/* at rest: nobody waits for what does not come */
#define SLOT_COMES_BACK 105		/* at rest: only the sick hold a slot */
#define SLOT_OUTLIVES_NO_HOST 106	/* at rest: nor does who is terminated */
#define NOTHING_ACTIVATED 107		/* at rest: what was activated was booted or deactivated */
#define PHASE_HAS_DUTY 108		/* a holder past granted has a duty, unless its file was lost */
/* promise 4 */
#define BAD_RELEASE_IS_STOPPED 109	/* it is tried on at most max_failures + N - 1 hosts */
#define FALLBACK_IS_NAMED 110		/* a fallback that is proved is returned as one … */
#define FALLBACK_IS_REFUSED 111		/* … and refuses the release … */
#define NO_FALSE_REFUSAL 112		/* … and nothing else does */
#define SICK_SAYS_SO 113		/* who is unhealthy returns a failure */
#define SICK_IS_COUNTED 114		/* at rest: who is sick has told the fleet */
#define FAILURE_IS_COUNTED 115		/* what failed was counted, unless the slot was taken away, or the duty was a guess */
#define COUNTED_ONCE 116		/* no failure is counted again after it was lifted */
#define UNSEEN_STAYS 117		/* resume lifts what it showed, not what took its place */
#define GOOD_LEAVES_NO_FAILURE 118	/* at rest: who came back good left none behind … */
#define NO_FAILURE_BEFORE_REBOOT 119	/* … nor did who never got to the reboot */
/* promise 5 */
#define FOREIGN_DRAIN_STAYS 120		/* a drain that can be told from ours is not undone */
#define NOT_DRAINED_AGAIN 121		/* nor is drained again what a person took back */
/* promise 6 */
#define NO_START_WHEN_STOPPED 122	/* no act a minute after a halt, a refusal, or the loss of the table */
#define GUARDED 123			/* no grant and no re-assert in a halted fleet or of a refused release */
#define STUCK_TURNS_BACK 124		/* who is stuck or wanted back never carries on */

#define fault faults > 0 -> faults--
#define person ops > 0 -> ops--

/* ---- promises that are checked at each act ---- */

/* Promise 1: who is out of service because of Drydock has a slot. */
#ifdef ANY_NUMBER_OUT
#define promise1(x, extra) skip
#else
#define promise1(x, extra) claim(OUT_HAS_SLOT, h[x].ph != 0 && EACH(IS_OUT) + (extra) <= SLOTS)
#endif
/* Promises 4 and 6: nothing starts in a fleet that was halted, or without the
 * table, or with a refused release, a minute ago. */
#define no_start() claim(NO_START_WHEN_STOPPED, !(old && (STOPPED || cut)))
/* Promise 4: how far a bad release gets. */
#ifdef ANY_NUMBER_OUT
#define promise4() skip
#else
#define promise4() claim(BAD_RELEASE_IS_STOPPED, FATE == GOOD || EACH(IS_TRIED) <= MAXFAIL + SLOTS - 1)
#endif

/* ---- the record ---- */

/* A write changes the nonce: what was read before is stale, and a write that
 * is still under way cannot land any more. */
inline wrote() {
	ALL(fresh);
	fl = NONE; fl_host = 0; fl_gen = 0; fl_out = 0; fl_own = 0;
	old = old && (STOPPED || cut)
}

/* fail: the host's own word. */
inline count(entry) {
	if
	:: !(fails & BIT(entry)) ->
		claim(COUNTED_ONCE, !(worded & BIT(entry)));
		fails = fails | BIT(entry);
		old = 0
	:: else
	fi;
	worded = worded | BIT(entry);
	others = others & ~BIT(entry)
}

/* What a watcher or an operator says of a holder. */
inline blame(entry) {
	if
	:: !(fails & BIT(entry)) -> fails = fails | BIT(entry); others = others | BIT(entry); old = 0
	:: else
	fi
}

inline withdraw(entry) { fails = fails & ~BIT(entry); others = others & ~BIT(entry) }

/* Grant */
inline grant(x, mineNow) {
	claim(GUARDED, !HALTED && !refused);
	gens++;
	h[x].ph = GRANTED; h[x].rgen = gens; h[x].stuck = 0; h[x].back = 0;
	h[x].own = mineNow;
	wrote()
}

/* Reassert */
inline enter(x, phase) {
	claim(GUARDED, !HALTED && !refused);
	claim(STUCK_TURNS_BACK, !h[x].stuck && !h[x].back);
	h[x].ph = phase;
	acted = (phase == REBOOTING -> acted | BIT(h[x].rgen) : acted);
	wrote()
}

/* Fail */
inline sick(x, which) {
	count(which);
	h[x].ph = SICK;
	wrote()
}

/* Return, the outcome. A sick holder has told its failure by Fail; without an
 * entry the host's word only takes the place of another's. */
inline publish(x, which, result) {
	if
#ifndef MISTAKE_FAILURE_NOT_WITHDRAWN
	:: !IS_FAILURE(result) -> withdraw(which)
#else
	:: !IS_FAILURE(result) -> skip
#endif
#ifdef MISTAKE_FAILURE_COUNTED_TWICE
	:: IS_FAILURE(result) && !(h[x].ph == SICK && h[x].rgen == which) -> count(which)
	:: IS_FAILURE(result) && h[x].ph == SICK && h[x].rgen == which -> skip
#else
	:: IS_FAILURE(result) && (fails & BIT(which) || h[x].ph != 0 && h[x].ph != SICK && h[x].rgen == which) -> count(which)
	:: IS_FAILURE(result) && !(fails & BIT(which) || h[x].ph != 0 && h[x].ph != SICK && h[x].rgen == which) -> skip
#endif
	fi;
	if
	:: result == FELL_BACK && !refused -> refused = 1; old = 0
	:: else
	fi
}

/* Return */
inline give_back(x, which, result) {
	claim(SLOT_GOES_LAST, h[x].ecs != OURS);
	claim(NO_FALSE_REFUSAL, result != FELL_BACK || h[x].fell);
	claim(FALLBACK_IS_NAMED, result == FELL_BACK || !h[x].known);
	claim(SICK_SAYS_SO, !h[x].new || !h[x].ill || IS_FAILURE(result));
#ifndef MISTAKE_ROW10_TWO_WRITES
	publish(x, which, result);
#endif
	if
	:: h[x].ph != 0 && h[x].rgen == which ->
		h[x].ph = 0; h[x].rgen = 0; h[x].stuck = 0; h[x].back = 0
	:: else
	fi;
	wrote()
}

#ifdef MISTAKE_NO_LOOK_AFTER_LOST_ANSWER
#define UNANSWERED(then, look) then
#else
#define UNANSWERED(then, look) look
#endif

/* Replace of Fleet.Apply, after the read: then is where the agent goes on,
 * look where it reads the record again. The nonce is the one that was read, or
 * the write is refused. */
#ifdef LOST_ANSWERS
#define replace(rule, change, then, look) \
	if \
	:: !me.fresh -> me.pc = look				/* ErrConflict */ \
	:: me.fresh -> \
		me.pc = then; \
		if \
		:: true \
		:: fault; me.pc = UNANSWERED(then, look)	/* ErrUnknown, and it landed */ \
		fi; \
		change \
	:: me.fresh && fl == NONE && fault;			/* ErrUnknown, and it may land */ \
		fl = rule; fl_host = i; fl_gen = me.gen; fl_out = me.out; fl_own = 1; \
		me.fresh = 0; me.pc = UNANSWERED(then, look) \
	fi
#else
#define replace(rule, change, then, look) \
	if \
	:: !me.fresh -> me.pc = look \
	:: me.fresh -> me.pc = then; change \
	fi
#endif

inline read(then) { me.fresh = 1; me.pc = then }

/* ---- the agent ---- */

inline forget() {
	me.proof = 0; me.asked = 0; me.told = 0; me.res = 0; me.fresh = 0; me.own = 0
}

inline turn_back() { forget(); me.res = TURNED_BACK; me.pc = U_NOTE }

#define go_restore(outcome) forget(); me.res = outcome; me.pc = U_NOTE

inline no_duty() {
	me.duty = 0; me.gen = 0; me.calls = 0; me.open = 0; me.acting = 0; me.armed = 0; me.out = 0;
	me.restored = 0; me.adopted = 0; me.seen = 0; me.asks = 0; me.rested = 0; me.made = 0; me.saw = 0; me.veto = 0
}

/* The process ends. */
inline die() {
	forget();
	me.pc = START;
	if
	:: !me.duty -> no_duty()
	:: else
	fi;
	if
	:: fl != NONE && fl_host == i -> fl_own = 0
	:: else
	fi
}

/* A boot, of whatever cause. */
inline boot() {
	die();
	me.req = 0; me.seen = 0;
	if
	:: me.duty || me.ph != 0 -> me.again = 1
	:: else
	fi;
	if
	:: me.next ->
		me.next = 0; me.tried = 1; promise4();
		if
		:: FATE == FALLS && me.armed && !me.adopted -> me.fell = 1; me.known = 1
		:: FATE == FALLS && !(me.armed && !me.adopted) -> skip
		:: FATE != FALLS -> me.new = 1; me.ill = (FATE == ILL -> 1 : 0)
		fi
	:: else
	fi
}

/* adopt: a duty made of the holder entry, only ever undone. */
inline adopt() {
	me.duty = 1; me.adopted = 1; me.gen = me.rgen; me.lost = 0;
	if
#ifdef MISTAKE_ROW3_SLOT_RETURNED_WITHOUT_FILE
	:: true -> me.out = TURNED_BACK; me.restored = 1
#else
	:: me.ph == GRANTED -> me.out = TURNED_BACK; me.restored = 1
	:: me.ph == DRAINING -> me.calls = 1; me.open = 1
	:: me.ph > DRAINING -> me.calls = 1; me.acting = 1;
#ifndef MISTAKE_ADOPTED_DRAIN_SETTLED
		me.open = 1;
#endif
		me.armed = (me.ph == REBOOTING && !me.again -> 1 : 0)
#endif
	fi
}

/* Resume: where an agent begins, by its duty. */
inline resume() {
	if
	:: me.restored -> me.pc = T_READ
	:: !me.restored && !me.again ->
		if
		:: me.out != 0 -> go_restore(me.out)
#ifdef MISTAKE_RESTORE_WHILE_REQUEST_ALIVE
		:: me.out == 0 && me.armed -> go_restore(NOT_REBOOTED)
#else
		:: me.out == 0 && me.armed -> me.pc = R_WAIT
#endif
		:: me.out == 0 && !me.armed && me.adopted -> turn_back()
#ifdef MISTAKE_NO_REASSERT_ON_RESUME
		:: me.out == 0 && !me.armed && !me.adopted -> me.proof = 1; me.pc = D_LOOK
#else
		:: me.out == 0 && !me.armed && !me.adopted -> me.pc = D_READ
#endif
		fi
	:: !me.restored && me.again ->
		if
		:: me.out == UNHEALTHY -> me.pc = (me.seen -> S_NOTE : VERIFY)
		:: me.out != 0 && me.out != UNHEALTHY && !(JUDGE_AGAIN) -> go_restore(me.out)
		:: me.out == 0 && !me.acting -> turn_back()
		:: (me.out == 0 && me.acting || JUDGE_AGAIN) && !me.new -> go_restore((PROOF -> FELL_BACK : INTERRUPTED))
		:: me.out == 0 && me.acting || JUDGE_AGAIN -> me.pc = VERIFY	/* also while it is unknown what runs */
		fi
	fi
}

/* Our call to drain lands: at once, or late. */
inline land_drain(x) {
	if
	:: h[x].ecs == ACTIVE -> h[x].ecs = OURS; promise1(x, 0)
	:: else
	fi
}

/* Our call to set ACTIVE lands. Promise 5. */
inline land_active(x) {
	claim(FOREIGN_DRAIN_STAYS, h[x].ecs != THEIRS);
	h[x].ecs = ACTIVE
}

#ifdef MISTAKE_ROW2_NO_DUTY
#define DURABLE 0	/* acts without a durable duty, as if its write could wait */
#else
#define DURABLE 1
#endif

proctype Agent(byte i) {
end:	do
	/* -- start (agent/start.go, resume.go) -- */
	:: atomic { me.pc == START && !me.gone && !me.duty && !cut && me.ph == 0 ->
		me.lost = 0; me.gen = 0; me.pc = IDLE }
	:: atomic { me.pc == START && !me.gone && !me.duty && cut && !me.lost -> me.pc = IDLE }
#ifdef MISTAKE_ROW1_SLOT_NOT_RETURNED
	:: atomic { me.pc == START && !me.gone && !me.duty && !cut && me.ph == GRANTED -> me.lost = 0; me.pc = IDLE }
#else
	:: atomic { me.pc == START && !me.gone && !me.duty && !cut && me.ph == GRANTED -> adopt(); me.pc = START }
#endif
	:: atomic { me.pc == START && !me.gone && !me.duty && !cut && me.ph > GRANTED -> adopt(); me.pc = START }
	:: atomic { me.pc == START && !me.gone && me.duty -> resume() }

	/* -- idle, staging, waiting (check.go, queue.go) -- */
#ifndef MISTAKE_ROW1_SLOT_NOT_RETURNED
	:: atomic { me.pc == IDLE && !cut && me.ph != 0 ->	/* Owing */
		claim(PHASE_HAS_DUTY, me.lost || me.ph == GRANTED);
		adopt(); me.pc = START }
#endif
	:: atomic { me.pc == IDLE && !me.gone && !me.new && !cut && me.ph == 0 && me.ecs == ACTIVE && MAY_START && FITS && gens < GRANTS && i <= touched ->
		if
		:: i == touched -> touched++
		:: else
		fi;
#ifdef MISTAKE_ROW1_NO_GRANT
		me.gen = 7; me.pc = DUTY
#else
		read(G_WRITE)
#endif
		}
	/* row 1 */
	:: atomic { me.pc == G_WRITE ->
		replace(GRANT, grant(i, 1), DUTY, G_READ);
		if
		:: me.pc == DUTY -> me.gen = (me.ph != 0 -> me.rgen : gens)
		:: else
		fi }
	:: atomic { me.pc == G_READ && me.own && !cut -> me.gen = me.rgen; me.pc = DUTY }
	:: atomic { me.pc == G_READ ->		/* denied, or given up: a write may still land */
		forget();
		if
		:: fl != NONE && fl_host == i -> fl_own = 0
		:: else
		fi;
		me.pc = IDLE }

	/* -- draining (drain.go) -- */
	/* row 2 */
	:: atomic { me.pc == DUTY -> me.own = 0; me.duty = DURABLE; me.again = 0; me.fell = 0; me.known = 0; me.pc = D_READ }
	/* row 3 */
	:: atomic { me.pc == D_READ && !cut ->
#if defined(MISTAKE_ROW1_NO_GRANT) || defined(MISTAKE_ROW3_NO_REASSERT)
		me.proof = 1; me.pc = D_LOOK
#else
		if
		:: DENIED -> turn_back()
		:: !DENIED -> read(D_WRITE)
		fi
#endif
		}
	:: atomic { me.pc == D_READ && cut -> turn_back() }	/* tablePatience */
	:: atomic { me.pc == D_WRITE ->
		/* once activated, the record does not go back behind that */
		replace((AGAIN_REBOOTING -> ASSERT_R : ASSERT_D), enter(i, (AGAIN_REBOOTING -> REBOOTING : DRAINING)), D_LOOK, D_READ);
		me.proof = (me.pc == D_LOOK -> 1 : 0) }
	/* beginDrain and the note of callDrain */
	:: atomic { me.pc == D_LOOK ->
		if
		:: me.calls > 0 && me.ecs != ACTIVE ->			/* sawDraining */
			me.pc = TASKS;
#ifdef MISTAKE_SEEN_DRAIN_SETTLES
			me.open = (me.calls == 1 -> 0 : me.open)
#else
			me.saw = (me.open > 0 -> 1 : me.saw)
#endif
		:: me.calls > 0 && me.ecs == ACTIVE && (me.open == 0 || SAW) -> turn_back()
		:: me.calls == 0 && me.ecs != ACTIVE -> turn_back()	/* notOurs */
		:: me.ecs == ACTIVE && (me.calls == 0 || me.open > 0 && !SAW) && !me.proof -> me.pc = D_READ
		:: me.ecs == ACTIVE && (me.calls == 0 || me.open > 0 && !SAW) && me.proof && me.calls < 2 ->
			me.calls++; me.open++; me.pc = D_CALL
		:: me.ecs == ACTIVE && me.open > 0 && !SAW && me.proof && me.calls == 2 -> turn_back()
		fi }
	:: atomic { me.pc == D_CALL ->
		no_start();
		claim(NOT_DRAINED_AGAIN, !me.veto);
		if
		:: land_drain(i); me.pc = D_ANSWER
#ifdef LATE_DRAINS
		:: fault; land_drain(i); me.pc = D_LOOK
		:: !me.call && fault; me.call = 1; me.pc = D_LOOK
		:: fault; me.pc = D_LOOK
#endif
		fi }
	:: atomic { me.pc == D_ANSWER -> me.open--; me.pc = TASKS }
	:: atomic { me.pc == TASKS ->
		if
		:: me.pc = R_READ
#ifdef TIMEOUTS
		:: fault; turn_back()			/* drainExpired, attend */
#endif
		fi }

	/* -- rebooting (reboot.go) -- */
	/* row 4 */
	:: atomic { me.pc == R_READ && !cut ->
#ifdef MISTAKE_ROW1_NO_GRANT
		me.proof = 1; me.pc = R_NOTE
#else
		if
		:: DENIED -> turn_back()
		:: !DENIED -> read(R_WRITE)
		fi
#endif
		}
	:: atomic { me.pc == R_READ && cut -> turn_back() }
	:: atomic { me.pc == R_WRITE ->
		#ifdef MISTAKE_ROW4_NO_PHASE
		me.fresh = 0; me.pc = R_NOTE;
#else
		replace(ASSERT_R, enter(i, REBOOTING), R_NOTE, R_READ);
#endif
		me.proof = (me.pc == R_NOTE -> 1 : 0) }
	/* row 5 */
	:: atomic { me.pc == R_NOTE ->
		if
		:: me.ecs == ACTIVE -> turn_back()
		:: me.ecs != ACTIVE && !me.proof -> me.pc = R_READ
#ifdef MISTAKE_ROW5_ACTIVATES_BEFORE_NOTE
		:: me.ecs != ACTIVE && me.proof && !me.next -> me.next = 1
		:: me.ecs != ACTIVE && me.proof && me.next -> me.acting = 1; acted = acted | BIT(me.gen); me.pc = R_ARM
#else
#ifdef MISTAKE_ARMS_BEFORE_ACTIVATING
		:: me.ecs != ACTIVE && me.proof -> me.acting = 1; me.armed = 1; acted = acted | BIT(me.gen); me.pc = R_ACT
#else
		:: me.ecs != ACTIVE && me.proof -> me.acting = 1; acted = acted | BIT(me.gen); me.pc = R_ACT
#endif
#endif
		fi }
	:: atomic { me.pc == R_ACT ->
		if
		:: me.next = 1; me.pc = R_ARM
#ifdef TIMEOUTS
		:: fault; turn_back()			/* definite */
#endif
		fi }
	/* row 6 */
	:: atomic { me.pc == R_ARM ->
		if
		:: me.ecs == ACTIVE -> turn_back()
		:: me.ecs != ACTIVE && !me.proof -> me.pc = R_READ
#ifdef MISTAKE_ROW6_NOT_ARMED
		:: me.ecs != ACTIVE && me.proof -> me.pc = R_REQ
#else
		:: me.ecs != ACTIVE && me.proof -> me.armed = 1; me.asks++; me.pc = R_REQ
#endif
		fi }
	:: atomic { me.pc == R_REQ ->
		no_start();
		me.proof = 0;
		me.pc = R_WAIT;
		if
		:: me.req = 1; me.asked = 1
#ifdef TIMEOUTS
		:: fault; me.req = 1; me.asked = 0		/* no answer */
		:: fault; me.asked = 0
#endif
		fi }
	/* The deadline of the request has passed: it cannot come any more. */
	:: atomic { me.pc == R_WAIT && !me.req -> go_restore(NOT_REBOOTED) }
	:: atomic { me.pc == R_WAIT && !me.asked && !me.adopted && me.asks < 2 && !cut ->
		if
		:: DENIED -> me.asked = 1
		:: !DENIED -> read(A_WRITE)
		fi }
	:: atomic { me.pc == A_WRITE ->
		replace(ASSERT_R, enter(i, REBOOTING), A_ARM, R_WAIT);
		me.proof = (me.pc == A_ARM -> 1 : 0) }
	:: atomic { me.pc == A_ARM ->
		if
		:: me.ecs == ACTIVE -> me.asked = 1; me.proof = 0; me.pc = R_WAIT
		:: me.ecs != ACTIVE && !me.proof -> me.pc = R_WAIT
		:: me.ecs != ACTIVE && me.proof -> me.armed = 1; me.asks++; me.pc = R_REQ
		fi }

	/* -- verifying and sick (verify.go) -- */
	/* row 7: seen; row 8 is announced below */
	:: atomic { me.pc == VERIFY && MAY_VERIFY ->
		me.seen = 1;
		if
		:: !me.new -> go_restore((me.out == FELL_BACK || me.out == INTERRUPTED -> me.out : (PROOF -> FELL_BACK : INTERRUPTED)))
		:: me.new && !me.ill -> go_restore(UPDATED)
		:: me.new && me.ill -> me.pc = S_NOTE
		fi }
	/* row 8: Announce, from the outbox, at any time or never */
	:: atomic { me.pc >= VERIFY && me.duty && me.again && !cut && MINE && me.ph == REBOOTING ->
		me.ph = VERIFYING; wrote() }
	:: atomic { me.pc == S_NOTE -> me.out = UNHEALTHY; me.seen = 1; me.pc = NURSE }
#ifndef MISTAKE_SICK_TELLS_NOBODY
	:: atomic { me.pc == NURSE && !me.told && !cut ->
		if
#ifdef MISTAKE_SICK_TELLS_FOR_EVER
		:: !MINE -> me.told = 1
		:: me.ph == SICK -> read(S_WRITE)
#else
		:: !MINE || me.ph == SICK -> me.told = 1
#endif
		:: MINE && me.ph != SICK -> read(S_WRITE)
		fi }
#endif
	:: atomic { me.pc == S_WRITE ->
		replace(FAIL, sick(i, me.gen), NURSE, NURSE);
		me.fresh = 0 }
	:: atomic { me.pc == NURSE && me.told && !cut && MINE && me.back -> go_restore(UNHEALTHY) }
	:: atomic { me.pc == NURSE && !me.ill -> go_restore(UPDATED) }

	/* -- restoring (restore.go) -- */
	/* row 7: the outcome is durable before anything is disarmed */
	:: atomic { me.pc == U_NOTE && MAY_RESTORE ->
#ifndef MISTAKE_ROW7_OUTCOME_NOT_DURABLE
		me.out = me.res;
#endif
#ifdef MISTAKE_RELEASE_BEFORE_ACTIVE
		me.out = me.res;
		if
		:: cut -> skip
		:: !cut && MINE -> give_back(i, me.gen, me.out)
		:: !cut && !MINE -> skip
		fi;
#endif
		me.pc = U_DISARM }
	:: atomic { me.pc == U_DISARM ->
#ifdef MISTAKE_UNDO_DEACTIVATES_BEFORE_DISARM
		if
		:: me.acting && !me.again && me.next -> me.next = 0
		:: else -> me.armed = 0; me.pc = U_DEACT
		fi
#else
		me.armed = 0; me.pc = U_DEACT
#endif
		}
	:: atomic { me.pc == U_DEACT ->
#ifdef MISTAKE_UNDO_CLEARS_BEFORE_DEACTIVATING
		me.told = me.acting && !me.again; me.acting = 0; me.pc = U_CLEAR
#else
		if
		:: me.acting && !me.again -> me.next = 0
		:: else
		fi;
		me.pc = U_CLEAR
#endif
		}
	:: atomic { me.pc == U_CLEAR ->
#ifdef MISTAKE_ROW7_OUTCOME_NOT_DURABLE
		me.out = me.res;
#endif
#ifdef MISTAKE_UNDO_CLEARS_BEFORE_DEACTIVATING
		me.next = (me.told -> 0 : me.next); me.told = 0;
#endif
		me.acting = 0; me.res = 0; me.pc = B_ACT }
	/* row 9 */
	:: atomic { me.pc == B_ACT ->
		if
#ifdef MISTAKE_UNDOES_A_DRAIN_NOT_OURS
		:: me.calls == 0 -> land_active(i); me.pc = L_LOOK
#else
		:: me.calls == 0 -> me.pc = L_LOOK
#endif
		:: me.calls > 0 && me.made && (me.ecs == ACTIVE || me.open == 0) -> me.pc = L_LOOK
		:: me.calls > 0 && me.made && me.ecs != ACTIVE && me.open > 0 -> me.made = 0
		:: me.calls > 0 && !me.made -> land_active(i); me.pc = B_NOTE
#ifdef LATE_ACTIVES
		:: me.calls > 0 && !me.made && !me.acall && fault; me.acall = 1
#endif
		fi }
	:: atomic { me.pc == B_NOTE -> me.made = (NOTED -> 1 : 0); me.pc = L_LOOK }
	/* lateDrainLook: 60 s after ACTIVE no call of ours can land any more */
	:: atomic { me.pc == L_LOOK && DRAINS_ARE_OVER && ACTIVES_ARE_OVER ->
		if
#ifndef MISTAKE_NO_LATE_LOOK
		:: me.open > 0 && me.calls > 0 && me.ecs != ACTIVE -> me.made = 0; me.pc = B_ACT
		:: !(me.open > 0 && me.calls > 0 && me.ecs != ACTIVE) -> me.pc = N_REST
#else
		:: me.pc = N_REST
#endif
		fi }
	:: atomic { me.pc == N_REST ->
		me.rested = 1;
#ifndef MISTAKE_ROW9_NO_RESTORED_NOTE
		me.restored = 1;
#endif
#ifdef MISTAKE_ROW11_CLEARS_BEFORE_RETURN
		me.duty = 0;		/* the rest is in memory until the return */
#endif
		me.pc = T_READ }
	/* row 10 */
	:: atomic { me.pc == T_READ && !cut ->
		if
		:: !OWED -> me.pc = CLEAR	/* the content says done */
		:: OWED -> read(T_WRITE)
		fi }
	:: atomic { me.pc == T_WRITE -> replace(RETURN, give_back(i, me.gen, me.out), CLEAR, T_READ) }
	/* row 11 */
	:: atomic { me.pc == CLEAR ->
#ifdef MISTAKE_ROW10_TWO_WRITES
		if
		:: IS_FAILURE(me.out) -> publish(i, me.gen, me.out); wrote()
		:: else
		fi;
#endif
		claim(FALLBACK_IS_REFUSED, !me.known || refused || allowed);
		claim(FAILURE_IS_COUNTED, me.adopted || !IS_FAILURE(me.out) || ((worded | taken) & BIT(me.gen)));
		good = (IS_FAILURE(me.out) -> good : good | BIT(me.gen));
		forget(); no_duty(); me.again = 0; me.fell = 0; me.known = 0; me.pc = IDLE }
	od
}

/* ---- the world ---- */

/* Free: of a holder that got to the reboot a failure stays behind, also where an
 * operator has taken away that it was late. The failure of a sick one was
 * counted. Before the reboot the failure goes with the entry. */
inline free() {
	taken = taken | BIT(me.rgen);
	if
#ifdef MISTAKE_FREED_FAILURE_GOES
	:: true -> withdraw(me.rgen)
#else
#ifdef MISTAKE_FREED_FAILURE_STAYS
	:: me.ph <= DRAINING -> skip
#else
	:: me.ph <= DRAINING -> withdraw(me.rgen)
#endif
	:: me.ph > DRAINING && !(fails & BIT(me.rgen)) && FREED_COUNTS ->
		claim(COUNTED_ONCE, !(worded & BIT(me.rgen)));
		blame(me.rgen)
	:: me.ph > DRAINING && !(!(fails & BIT(me.rgen)) && FREED_COUNTS) -> skip
#endif
	fi;
	me.ph = 0; me.rgen = 0; me.stuck = 0; me.back = 0; wrote()
}

/* Mark: a watcher finds a holder late that is not sick, and marks it stuck with
 * its failure in one write. It still uses its slot. */
inline mark() {
	me.stuck = 1;
#ifdef MISTAKE_MARK_IN_TWO_WRITES
	owing = owing | BIT(me.rgen);
#else
	blame(me.rgen);
#endif
	wrote()
}

/* Whether an agent can tell a person's drain from its own: before its own call,
 * after *restored*, and between the two once it has noted that ECS accepted its
 * ACTIVE, unless a call of its own is still under way. Never while its file is
 * lost. */
#ifdef WINDOW_LATE_ACTIVE
#define NO_ACTIVE_UNDER_WAY true
#else
#define NO_ACTIVE_UNDER_WAY !me.acall
#endif
#ifdef WINDOW_ACTIVE_NOT_NOTED_YET
#define ACCEPTED (me.made || me.pc == B_NOTE)
#elif defined(MISTAKE_ACTIVE_NOT_NOTED)
#define ACCEPTED (me.made || me.pc == L_LOOK)
#else
#define ACCEPTED me.made
#endif
#define KNOWABLE (!me.lost && (me.calls == 0 || me.rested || \
	NO_ACTIVE_UNDER_WAY && ACCEPTED && me.open == 0 && !me.adopted))

#define ALIVE (!me.gone)
#define BUSY (!me.gone && (me.duty || me.ph != 0 || me.pc == G_WRITE || me.pc == G_READ || me.pc == DUTY || !DURABLE))

/* What happens to one host. */
proctype World(byte i) {
end:	do
	/* what is under way lands */
	:: atomic { me.req -> promise1(i, 1 - IS_OUT(i)); boot() }
	:: atomic { me.call -> me.call = 0; land_drain(i) }
#ifdef LATE_ACTIVES
	:: atomic { me.acall -> me.acall = 0; land_active(i) }
#endif
	/* faults */
#ifdef CRASHES
	:: atomic { BUSY && me.pc != START && me.pc != IDLE && fault; die() }
#endif
#ifdef LOSSES
	:: atomic { ALIVE && me.duty && fault; die(); no_duty(); me.lost = 1; me.known = 0; me.ecs = (me.ecs == THEIRS -> EITHER : me.ecs) }
#endif
#ifdef RESETS
	:: atomic { ALIVE && (me.duty || me.next) && fault; boot() }
#endif
#ifdef TIMEOUTS
	:: atomic { me.req && fault; me.req = 0 }	/* inhibited, and never done */
#endif
	/* the instance is terminated, and another one watches */
#ifdef GONE
	:: atomic { BUSY && EACH(IS_UP) > 1 && fault;
		die(); no_duty(); me.lost = 0; me.gone = 1; me.ecs = ACTIVE; me.call = 0; me.req = 0; me.next = 0; me.again = 0 }
	:: atomic { me.gone && me.ph != 0 && me.ph != SICK && !me.stuck && !cut -> mark() }
#endif
	/* late, and alive after all: there is no clock, so any holder may be */
#ifdef MARKS
	:: atomic { ALIVE && me.ph != 0 && me.ph != SICK && !me.stuck && !cut && fault; mark() }
#endif
	/* free on evidence */
#if defined(GONE) && !defined(MISTAKE_NEVER_FREED) || defined(MISTAKE_FREED_WITHOUT_EVIDENCE)
	:: atomic { me.ph != 0 && (me.stuck || me.ph == SICK) && !cut && EVIDENCE -> free() }
#endif
	/* people */
#ifdef FOREIGN_DRAINS
	:: atomic { ALIVE && me.ecs == ACTIVE && i <= touched && person;
		touched = (i == touched -> touched + 1 : touched);
		me.ecs = (KNOWABLE -> THEIRS : EITHER) }
	:: atomic { ALIVE && me.ecs != ACTIVE && person;
		me.veto = (me.veto || me.duty && me.calls > 0 && (me.open == 0 || me.saw) -> 1 : 0);
		me.ecs = ACTIVE }
#endif
#ifdef VERBS
	:: atomic { ALIVE && me.ph != 0 && !me.back && !cut && person; me.back = 1; wrote() }	/* restore */
#endif
#if defined(RELEASE_GONE) || defined(RELEASE_ALIVE)
	:: atomic { me.ph != 0 && !cut && RELEASABLE && person; free() }
#endif
	:: atomic { me.ill && me.pc != START && fault; me.ill = 0; me.tried = 0 }	/* it comes up after all */
	od
}

/* What happens to the fleet. */
proctype Fleet() {
end:	do
	/* a write that was under way lands, or never does */
	:: atomic { fl == GRANT && !cut -> grant(fl_host, fl_own) }
	:: atomic { fl == ASSERT_D && !cut -> enter(fl_host, DRAINING) }
	:: atomic { fl == ASSERT_R && !cut -> enter(fl_host, REBOOTING) }
	:: atomic { fl == FAIL && !cut -> sick(fl_host, fl_gen) }
	:: atomic { fl == RETURN && !cut -> give_back(fl_host, fl_gen, fl_out) }
	:: atomic { fl != NONE -> fl = NONE; fl_host = 0; fl_gen = 0; fl_out = 0; fl_own = 0 }
	/* reassert_within: an act follows its check; after a minute no proof holds */
	:: atomic { (STOPPED || cut) && !old && EACH(IN_ACT) == 0 -> old = 1; ALL(proof) }
#ifdef CUTS
	:: atomic { !cut && fault; cut = 1; old = 0; ALL(fresh) }
	:: atomic { cut && fault; cut = 0; old = 0 }
#endif
#ifdef VERBS
	:: atomic { !halt && !cut && person; halt = 1; old = 0; wrote() }
	:: atomic { halt && !cut && person; halt = 0; wrote() }
	:: atomic { refused && !cut && person; refused = 0; allowed = 1; ALL(tried); wrote() }	/* allow */
#endif
#if defined(VERBS) || defined(RESUMES)
	:: atomic { fails != 0 && shown == 0 && !cut && person; shown = fails; shown_worded = fails & worded }
	:: atomic { shown != 0 && !cut ->					/* resume */
		claim(UNSEEN_STAYS, !(LIFTED & UNSEEN));
		fails = fails & ~LIFTED;
		others = others & fails; shown = 0; shown_worded = 0; ALL(tried); wrote() }
#endif
#ifdef MISTAKE_MARK_IN_TWO_WRITES
	:: atomic { owing != 0 && !cut -> fails = fails | owing; others = others | owing; owing = 0; wrote() }
#endif
	/* nothing more happens: no fault, no person */
	:: atomic { faults > 0 || ops > 0 -> faults = 0; ops = 0 }
	od
}

/* The only case in which restoring waits: file and table both unreadable. */
#define BLIND (me.pc == START && me.lost && cut)

/* What must be true once nothing can happen any more. */
proctype Rest() {
	byte i;
	timeout -> atomic {
		i = 0;
		do
		:: i < HOSTS && me.gone ->
			claim(SLOT_OUTLIVES_NO_HOST, me.ph == 0 || cut);
			i++
		:: i < HOSTS && !me.gone ->
			claim(IN_SERVICE, me.ecs != OURS || me.pc == NURSE || BLIND);
			claim(NOBODY_WAITS, me.pc == IDLE || me.pc == NURSE || BLIND || (cut && me.pc == T_READ) || (cut && me.pc == START));
			claim(SLOT_COMES_BACK, me.ph == 0 || me.pc == NURSE || cut);
			claim(NOTHING_ACTIVATED, !me.next || BLIND);
			claim(SICK_IS_COUNTED, me.pc != NURSE || me.told || cut);
			i++
		:: i >= HOSTS -> break
		od;
		claim(GOOD_LEAVES_NO_FAILURE, !(fails & good));
		claim(NO_FAILURE_BEFORE_REBOOT, cut || !(fails & ~acted))
	}
}

init {
	atomic {
		byte k;
		for (k : 0 .. HOSTS - 1) {
			h[k].pc = IDLE;
			run Agent(k);
			run World(k)
		}
		run Fleet();
		run Rest()
	}
}
