"""TRL's DPOTrainer with precomputed reference log-probabilities: one head, as a careful user would set it up."""

import tempfile
import time
import warnings

import common


def main():
    parser = common.training_parser(__doc__)
    parser.add_argument("--optim", default="adamw_torch_fused", help="transformers' optimizer name")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model (compiling is warm-up)")
    args = parser.parse_args()
    common.check_training(args)
    warnings.simplefilter("ignore")
    common.start(args)

    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    clock = common.Clock()

    class StepTimer(TrainerCallback):
        """Takes the time of every optimizer step."""

        def on_step_begin(self, *_, **__):
            clock.begin()

        def on_step_end(self, *_, **__):
            clock.end()

    class GivenTokensTrainer(DPOTrainer):
        """Trains on the rows' token ids as they are and times the reference pass."""

        def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
            return dataset

        def _precompute_ref_logps(self, dataset, name, batch_size):
            began = time.perf_counter()
            scored = super()._precompute_ref_logps(dataset, name, batch_size)
            self.reference_seconds = time.perf_counter() - began
            return scored

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    pure = args.dtype == "bf16" and args.bf16_weights
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16 if pure else torch.float32)
    timed_rows = common.read_rows(args, tokenizer, args.pairs)
    rows = common.order_rows(args, timed_rows)
    columns = ("prompt_ids", "chosen_ids", "rejected_ids")
    data = Dataset.from_list([{name: row[name] for name in columns} for row in rows])
    with tempfile.TemporaryDirectory() as folder:
        settings = DPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=args.dtype == "bf16" and not pure,
            precompute_ref_log_probs=True,
            beta=args.beta,
            max_length=args.max_tokens,
            activation_checkpointing=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=args.micro_batch,
            gradient_accumulation_steps=args.batch // args.micro_batch,
            num_train_epochs=1,
            learning_rate=args.learning_rate,
            max_grad_norm=10.0,
            optim=args.optim,
            torch_compile=args.compile,
            train_sampling_strategy="sequential",
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        loaded = common.reset_peak_memory()
        trainer = GivenTokensTrainer(
            model=model, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=[StepTimer()]
        )
        # The summary that transformers prints would stand beside the one line of JSON.
        trainer.remove_callback(PrinterCallback)
        outcome = trainer.train()
    seconds = sum(clock.seconds[args.warmup_steps :])
    reference_rate = len(rows) / trainer.reference_seconds
    result = common.training_result(
        args,
        timed_rows,
        clock,
        reference_seconds=trainer.reference_seconds,
        reference_pairs_per_second=reference_rate,
        pairs_per_second_with_reference=args.pairs / (seconds + args.pairs / reference_rate),
        peak_memory_bytes=common.peak_memory(),
        loaded_memory_bytes=loaded,
        loss=outcome.training_loss,
        heads=1,
        optimizer=args.optim,
        compiled=args.compile,
    )
    common.report(args, "trl_dpo", result)


if __name__ == "__main__":
    main()
